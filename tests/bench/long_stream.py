"""One session, a stream of very many tokens: does memory stay flat, does the time per token, does the text stay sane?

Starts a server of its own on loopback, reads a text into one session by appends and, after each tenth of the stream, asks for a
greedy reply of raw continuation. Per tenth it prints: tokens read, seconds per token read, milliseconds per token of the reply,
resident memory of the server, and the reply. The last lines give the ratios that docs/benchmarks.md quotes.

    build/venv/bin/python tests/bench/long_stream.py --text FILE --tokens 100000 [--server_flags="--threads=2"]
"""

import argparse
import importlib
import itertools
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time

import grpc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def generated(directory):
    """The protocol's Python modules, made from proto/ alone; (chat_pb2, chat_pb2_grpc)."""
    proto = os.path.join(ROOT, "proto")
    files = [os.path.join(proto, name) for name in ("sinkstream/v1/chat.proto", "google/rpc/status.proto")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"--python_out={directory}",
                    f"--grpc_python_out={directory}", *files], check=True)
    sys.path.insert(0, directory)
    return (importlib.import_module("sinkstream.v1.chat_pb2"),
            importlib.import_module("sinkstream.v1.chat_pb2_grpc"))


def start_server(arguments):
    """The running server and its address."""
    command = [arguments.server, f"--model={arguments.model}", "--listen=127.0.0.1:0"]
    command += arguments.server_flags.split()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        print("server:", line.rstrip(), flush=True)
        if "listening on " in line:
            return process, line.split("listening on ")[1].strip()
    raise SystemExit("the server has not started")


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


class Session:
    """One Converse stream; blocking calls."""

    def __init__(self, stub, pb, **fields):
        """Opens a session: `fields` are those of Open."""
        self._pb = pb
        self._out = queue.Queue()
        self._in = stub.Converse(iter(self._out.get, None))
        self._out.put(pb.ConverseRequest(open=pb.Open(**fields)))
        self.opened = next(self._in).opened

    def append(self, text):
        """Reads `text`; its AppendDone."""
        self._out.put(self._pb.ConverseRequest(append=self._pb.Append(text=text)))
        for event in self._in:
            kind = event.WhichOneof("event")
            if kind == "append_done":
                return event.append_done
            if kind == "failed":
                raise SystemExit(str(event.failed))
        raise SystemExit("the stream has ended")

    def reply(self, max_tokens):
        """A greedy continuation: its text and the seconds between its tokens."""
        sampling = self._pb.Sampling(temperature=0, max_tokens=max_tokens, ignore_end_of_turn=True)
        self._out.put(self._pb.ConverseRequest(turn=self._pb.Turn(raw_text="\n", sampling=sampling)))
        text, times = "", []
        for event in self._in:
            kind = event.WhichOneof("event")
            if kind == "delta":
                text += event.delta.text
                times += [time.perf_counter()] * len(event.delta.token_ids)
            elif kind == "turn_done":
                return text, [b - a for a, b in itertools.pairwise(times)]
            elif kind == "failed":
                raise SystemExit(str(event.failed))
        raise SystemExit("the stream has ended")


def measure(session, pid, text, tokens, piece_bytes, reply_tokens):
    """One row per tenth of the stream."""
    rows, read, at = [], 0, 0
    for tenth in range(1, 11):
        begun, first = time.perf_counter(), read
        while read < tokens * tenth // 10:
            piece = text[at : at + piece_bytes]
            if not piece:
                raise SystemExit(f"the text ends after {read} tokens")
            at += len(piece)
            read += session.append(piece).usage.prompt_tokens
        seconds = (time.perf_counter() - begun) / (read - first)
        reply, gaps = session.reply(reply_tokens)
        row = {"tokens": read, "seconds_per_token": seconds, "resident": resident_bytes(pid),
               "itl_ms": 1000 * statistics.median(gaps), "reply": reply}
        rows.append(row)
        print(f"{read:8d} tokens  {1000 * seconds:.3f} ms a token read  {row['itl_ms']:.1f} ms a token said  "
              f"{row['resident'] / 1e6:.0f} MB  {reply[:100]!r}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="UTF-8 text, long enough")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--sinks", type=int, default=4)
    parser.add_argument("--window", type=int, default=1020)
    parser.add_argument("--piece_bytes", type=int, default=4000, help="characters of one append")
    parser.add_argument("--reply_tokens", type=int, default=64)
    parser.add_argument("--server", default=os.path.join(ROOT, "build/bin/sinkstream-server"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build/models/smollm2-135m-instruct.pt"))
    parser.add_argument("--server_flags", default="")
    arguments = parser.parse_args()
    with open(arguments.text, encoding="utf-8") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as directory:
        pb, pb_grpc = generated(directory)
        process, address = start_server(arguments)
        try:
            stub = pb_grpc.ChatServiceStub(grpc.insecure_channel(address))
            session = Session(stub, pb, sinks=arguments.sinks, window=arguments.window)
            rows = measure(session, process.pid, text, arguments.tokens, arguments.piece_bytes,
                           arguments.reply_tokens)
        finally:
            process.terminate()
            process.wait()
    second, last = rows[1], rows[9]
    for name in ("seconds_per_token", "itl_ms", "resident"):
        print(f"last tenth / second tenth, {name}: {last[name] / second[name]:.3f}")


if __name__ == "__main__":
    main()
