"""sinkstream beside other programs that serve the same model on the same machine, in one run.

    make bench [BENCH_FLAGS="--rounds 5 --cells all"]

scripts/bench sets up what is measured and calls this. Cells are explained in comparison/cells.py, how to read the figures in
docs/benchmarks.md. Round by round and cell by cell every peer is measured in its turn; a peer that cannot be measured is
named with the reason and left out. What was measured is kept, also when this is interrupted: results.json, results.md and
results.svg in the folder of --out.
"""

import argparse
import contextlib
import os
import signal
import sys

from transformers import AutoTokenizer

from comparison import machine, roster
from comparison.cells import chosen as chosen_cells
from comparison.plot import svg
from comparison.report import markdown
from comparison.results import Results
from comparison.run import Run, present, say

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = os.path.join(ROOT, "build/bench")
TEXT = os.path.join(ROOT, "tests/data/crime_and_punishment_excerpt.txt")
OWN_MODEL = "float32=" + os.path.join(ROOT, "build/models/smollm2-135m-instruct.pt")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="quick", help="of comparison/cells.py, with commas; or quick, all (default: quick)")
    parser.add_argument("--peers", default="*", help="patterns of names, with semicolons (default: all that are there)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each peer (default: all)")
    parser.add_argument("--model", action="append", metavar="NAME=FILE", help="of ours; may be repeated (default: float32)")
    parser.add_argument("--server_flags", default="", help="more flags of our server")
    parser.add_argument("--text", default=TEXT, help="UTF-8 text of which prompts are pieces")
    parser.add_argument("--binaries", default=os.path.join(ROOT, "build/bin"), help="where our programs are")
    parser.add_argument("--bench", default=BENCH, help="where scripts/bench has put the peers")
    parser.add_argument("--out", default=os.path.join(BENCH, "results"), help="folder of the results")
    arguments = parser.parse_args()
    arguments.model = arguments.model or [OWN_MODEL]
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    check_models(parser, arguments.model)
    for folder in (arguments.bench, arguments.binaries):
        if not os.path.isdir(folder):
            parser.error(f"{folder} is no folder; scripts/bench sets it up")
    return parser, arguments


def check_models(parser, models):
    for model in models:
        name, equals, file = model.partition("=")
        if not name or not equals:
            parser.error("--model is NAME=FILE")
        if not os.path.isfile(file):
            parser.error(f"--model: there is no file {file}")
    names = [model.partition("=")[0] for model in models]
    if len(set(names)) < len(names):
        parser.error("--model: two of one name")


def tokens_of(text, bench):
    """Token ids of a file. ValueError names one that is not there or is not UTF-8."""
    try:
        with open(text, encoding="utf-8") as file:
            content = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--text {text}: {error}") from error
    tokenizer = AutoTokenizer.from_pretrained(bench, gguf_file="q4_1.gguf")
    return tokenizer(content, add_special_tokens=False)["input_ids"]


def write_report(document, folder):
    for name, content in (("results.md", markdown(document)), ("results.svg", svg(document))):
        if content is not None:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)


def interrupt(number, frame):
    for again in (signal.SIGHUP, signal.SIGTERM):  # a closed terminal is told of twice: the way out is taken once
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser, arguments = parse()
    own = roster.ours(arguments)
    try:
        cells = chosen_cells(arguments.cells)
        peers = own + roster.chosen(roster.peers(ROOT, arguments.bench, arguments.threads), arguments.peers)
        text_ids = tokens_of(arguments.text, arguments.bench)
        os.makedirs(arguments.out, exist_ok=True)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    results = Results(os.path.join(arguments.out, "results.json"), machine.describe(ROOT, arguments.threads),
                      [peer.name for peer in own])
    # As an interruption: the peers must not stay behind.
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is behind nohup
        signal.signal(signal.SIGHUP, interrupt)
    try:
        Run(text_ids, results).all(arguments.rounds, cells, present(peers, results))
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            say("interrupted: the report tells what was measured")
    results.end(machine.load_average())
    write_report(results.document, arguments.out)
    print(markdown(results.document))
    say(f"written to {os.path.relpath(arguments.out)}")
    return 0 if results.document["measurements"] else 1


if __name__ == "__main__":
    sys.exit(main())
