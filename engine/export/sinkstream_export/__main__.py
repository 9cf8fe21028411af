"""Command line: python -m sinkstream_export --from SOURCE --out model.pt --dtype float32"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import warnings
from pathlib import Path

from . import __version__, chat_formats


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sinkstream_export",
        description="Turns a checkpoint into one self-contained sinkstream model file, and verifies it against"
                    " transformers before it is written.")
    parser.add_argument("--from", dest="source", required=True, type=Path, metavar="SOURCE",
                        help="GGUF file or Hugging Face directory (config.json, safetensors, tokenizer.json)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the model file to write, as model.pt")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "int8", "int4"], default="float32",
                        help="type of the matrices in the file (default: float32); int8: the source's Q8_0, else rows of"
                             " bytes (Q8_0 where 64 does not divide a row); int4: the source's Q4_0, Q4_1 and Q8_0,"
                             " else Q4_1 from floats, Q8_0 for embedding, head and other blocks; what these cost is"
                             " told")
    parser.add_argument("--name", help="the model's name (default: the source's)")
    parser.add_argument("--chat-format", choices=chat_formats.NAMES, metavar="NAME",
                        help="format of the turns, in place of the source's chat template: "
                             + ", ".join(chat_formats.NAMES))
    parser.add_argument("--ops", metavar="FILE",
                        help="libsinkstream_ops.so (default: $SINKSTREAM_OPS, else build/lib/ of the checkout)")
    parser.add_argument("--version", action="version", version=f"sinkstream_export {__version__}")
    return parser.parse_args(argv)


def _fail(message: object) -> int:
    print(f"sinkstream_export: error: {' '.join(str(message).split())}", file=sys.stderr)
    return 1


class _Terminated(BaseException):
    """SIGTERM or SIGHUP (its number), which is no Exception, as KeyboardInterrupt is none: the way out removes what was
    begun."""


def _terminate(number: int, frame: object) -> None:
    for again in (signal.SIGHUP, signal.SIGTERM):  # a closed terminal is told of twice: the way out is taken once
        signal.signal(again, signal.SIG_IGN)
    raise _Terminated(number)


def main(argv: list[str] | None = None) -> int:
    """0: written. 1: refused or failed; 129, 130, 143: stopped by SIGHUP, SIGINT, SIGTERM; each with one line on
    stderr. 2 (argparse): bad usage."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is behind nohup
        signal.signal(signal.SIGHUP, _terminate)
    try:
        return _export(arguments)
    except KeyboardInterrupt:
        _fail("interrupted")
        return 130
    except _Terminated as stopped:
        [number] = stopped.args
        with contextlib.suppress(OSError):  # the terminal may be gone
            _fail("hung up" if number == signal.SIGHUP else "terminated")
        return 128 + number


def _export(arguments: argparse.Namespace) -> int:
    # Before torch and transformers are imported: waiting threads sleep, there is no network and no advice.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore")
    from .checkpoint import ExportError
    from .export import Request, run
    try:
        run(Request(arguments.source, arguments.out, arguments.dtype, arguments.name, arguments.ops,
                    arguments.chat_format))
    except (ExportError, OSError) as error:
        return _fail(error)
    except Exception as error:  # a library's own error: what it says, without its stack
        return _fail(f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
