"""What sessions cost each other: tokens beside a long prompt, a system prompt that another has read, an idle server's first token.

Starts a server of its own on loopback and prints
  - the first token of a 16-token turn on the idle server, milliseconds;
  - the first token of a session with a system prompt of some 1,000 tokens: of the first session with it, and of later ones;
  - the gaps between tokens of 8 sessions in their replies, alone and while a ninth reads a prompt of 4,000 tokens;
  - resident memory at the end, and what of it is the model file.
Greedy; clients are threads of this process, on the same processors.

    build/venv/bin/python tests/bench/neighbours.py --text FILE [--model FILE] [--server_flags="--threads=2"]
"""

import argparse
import os
import statistics
import tempfile
import threading
import time

import grpc
from long_stream import ROOT, Session, generated, resident_bytes, start_server

SESSIONS = 8
REPLY_TOKENS = 600
PROMPT_TOKENS = 4_000
WINDOW = 1_020


class TimedSession(Session):
    """A Session whose replies are timed."""

    def __init__(self, stub, pb, **fields):
        self.asked = time.perf_counter()
        super().__init__(stub, pb, **fields)

    def say(self, max_tokens, times, **prompt):
        """Reads a reply to its end; appends when each of its tokens came to `times`."""
        sampling = self._pb.Sampling(temperature=0, max_tokens=max_tokens, ignore_end_of_turn=True)
        self._out.put(self._pb.ConverseRequest(turn=self._pb.Turn(sampling=sampling, **prompt)))
        for event in self._in:
            kind = event.WhichOneof("event")
            if kind == "delta":
                times += [time.perf_counter()] * len(event.delta.token_ids)
            elif kind == "turn_done":
                return
            elif kind == "failed":
                raise SystemExit(str(event.failed))
        raise SystemExit("the stream has ended")

    def first_token(self, **prompt):
        """When the one token of a reply came."""
        times = []
        self.say(1, times, **prompt)
        return times[0]

    def leave(self):
        self._out.put(self._pb.ConverseRequest(close=self._pb.Close()))
        for _ in self._in:
            pass


def ids_of(pb, count, seed):
    """A prompt of so many tokens that no other has."""
    return pb.TokenIds(ids=[(seed * 7919 + i * 104_729) % 40_000 + 100 for i in range(count)])


def idle_first_token(stub, pb, rounds=21):
    times = []
    for i in range(rounds):
        session = TimedSession(stub, pb, sinks=4, window=WINDOW)
        begun = time.perf_counter()
        times.append(session.first_token(token_ids=ids_of(pb, 16, i)) - begun)
        session.leave()
    return statistics.median(times[1:])


def shared_system_prompt(stub, pb, system_prompt, rounds=5):
    """Seconds to the first token, the open included: of the first session, the median of the later ones; tokens of the prompt."""
    times, sessions = [], []
    for _ in range(rounds):
        session = TimedSession(stub, pb, sinks=0, window=WINDOW, system_prompt=system_prompt)
        times.append(session.first_token(text="Hello.") - session.asked)
        sessions.append(session)
    for session in sessions:
        session.leave()
    return times[0], statistics.median(times[1:]), sessions[0].opened.sinks


class Decoder(threading.Thread):
    """A session in a long reply; `tokens`: when each came; `error`: why it has ended, if not by its reply's end."""

    def __init__(self, stub, pb, seed):
        super().__init__()
        self._session = TimedSession(stub, pb, sinks=4, window=WINDOW)
        self._prompt = ids_of(pb, 16, seed)
        self.tokens = []
        self.error = None

    def run(self):
        try:
            self._session.say(REPLY_TOKENS, self.tokens, token_ids=self._prompt)
            self._session.leave()
        except (SystemExit, grpc.RpcError) as error:
            self.error = error

    def require(self, count):
        """SystemExit if it has ended with fewer tokens."""
        if not self.is_alive() and len(self.tokens) < count:
            raise SystemExit(f"a reply has ended early: {self.error or 'it is too short'}")


def gaps(decoders, begun, ended):
    """Seconds between tokens that came within the span."""
    return [b - a for d in decoders for a, b in zip(d.tokens, d.tokens[1:], strict=False) if begun <= a and b <= ended]


def beside_a_long_prompt(stub, pb):
    """Gaps of the decoders before the long prompt and while it is read, and the seconds that took."""
    decoders = [Decoder(stub, pb, 100 + i) for i in range(SESSIONS)]
    for decoder in decoders:
        decoder.start()
    while min(len(d.tokens) for d in decoders) < REPLY_TOKENS // 3:
        for decoder in decoders:
            decoder.require(REPLY_TOKENS // 3)
        time.sleep(0.01)
    reader = TimedSession(stub, pb, sinks=4, window=WINDOW)
    begun = time.perf_counter()
    ended = reader.first_token(token_ids=ids_of(pb, PROMPT_TOKENS, 7))
    reader.leave()
    if any(len(d.tokens) == REPLY_TOKENS for d in decoders):
        print("warning: a reply ended while the prompt was read: REPLY_TOKENS is too few here")
    for decoder in decoders:
        decoder.join()
        decoder.require(REPLY_TOKENS)
    first = max(d.tokens[10] for d in decoders)
    return gaps(decoders, first, begun), gaps(decoders, begun, ended), ended - begun


def milliseconds(values):
    ordered = sorted(values)
    return f"median {1000 * statistics.median(ordered):.1f} ms, p99 {1000 * ordered[int(len(ordered) * 0.99)]:.1f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="UTF-8 text, for the system prompt")
    parser.add_argument("--server", default=os.path.join(ROOT, "build/bin/sinkstream-server"))
    parser.add_argument("--model", default=os.path.join(ROOT, "build/models/smollm2-135m-instruct.pt"))
    parser.add_argument("--server_flags", default="")
    parser.add_argument("--rounds", type=int, default=3, help="of the long prompt")
    arguments = parser.parse_args()
    with open(arguments.text, encoding="utf-8") as file:
        system_prompt = file.read()[2_000:6_300]
    with tempfile.TemporaryDirectory() as directory:
        pb, pb_grpc = generated(directory)
        process, address = start_server(arguments)
        try:
            stub = pb_grpc.ChatServiceStub(grpc.insecure_channel(address))
            print(f"first token of 16 tokens, idle: {1000 * idle_first_token(stub, pb):.1f} ms")
            first, later, pinned = shared_system_prompt(stub, pb, system_prompt)
            print(f"first token behind {pinned} pinned tokens: {1000 * first:.0f} ms, of later sessions {1000 * later:.1f} ms: "
                  f"{later / first:.3f}")
            for _ in range(arguments.rounds):
                alone, beside, taken = beside_a_long_prompt(stub, pb)
                print(f"tokens of {SESSIONS}: alone {milliseconds(alone)}; beside {PROMPT_TOKENS} tokens read in {taken:.2f} s: "
                      f"{milliseconds(beside)}")
            print(f"resident {resident_bytes(process.pid) / 1e6:.0f} MB, model file {os.path.getsize(arguments.model) / 1e6:.0f} MB")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
