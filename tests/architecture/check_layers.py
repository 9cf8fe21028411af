"""Checks that dependencies point one way (proto <- server -> engine, client -> proto) and that files stay small.

    check_layers.py FOLDER    one line for each fault of the checkout in FOLDER; exit code 1 if there is any
"""

import re
import sys
from pathlib import Path

MOST_LINES = 500
SOURCES = {".cc", ".h", ".py", ".proto", ".cmake", ".sh", ".md", ".txt", ".bash"}
NOT_OURS = {"build", ".git"}
DATA = {"LICENSE"}
SCRATCH = "tests/scratch_files.h"
VAGUE_NAME = re.compile(r"(manager|helper|util|utils|common)s?", re.IGNORECASE)
VAGUE_TYPE = re.compile(r"^\s*(?:class|struct|enum class)\s+(?:\[\[\w+\]\]\s*)?(\w*(?:Manager|Helper|Util|Utils|Common))\b(?!;)")
SHARED_NAME = re.compile(r"\bTempDir\(\)")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')

TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
TORCH_FOLDER = re.compile(r"^engine/torch/")
WIRE = re.compile(r"^(grpc|grpcpp|grpc\+\+|google/protobuf|google/rpc|prometheus)/|\.pb\.h$")

# Folder, what its files may not include, and why.
RULES = [
    ("engine", WIRE, "engine knows no gRPC, protobuf or Prometheus"),
    ("engine", re.compile(r"^(server|client|tests)/"), "engine is the lowest layer"),
    ("server", re.compile(r"^(client|tests)/"), "server knows no client"),
    ("client", re.compile(r"^(engine|server|tests)/"), "client knows only the wire contract"),
]


def includes(text):
    for number, line in enumerate(text.splitlines(), start=1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def layer_faults(path, text):
    in_torch = path.parts[:2] == ("engine", "torch") or path.parts[:2] == ("tests", "torch")
    for number, included in includes(text):
        where = f"{path}:{number}: includes {included}:"
        if TORCH.match(included) and not in_torch:
            yield f"{where} only engine/torch knows torch"
        if path.parts[0] == "engine" and TORCH_FOLDER.match(included) and not in_torch:
            yield f"{where} the rest of engine knows models by engine/model.h alone"
        for folder, forbidden, why in RULES:
            if path.parts[0] == folder and forbidden.search(included):
                yield f"{where} {why}"


def form_faults(path, text):
    lines = text.splitlines()
    if len(lines) > MOST_LINES and path.name not in DATA:
        yield f"{path}: {len(lines)} lines; at most {MOST_LINES}"
    for word in re.split(r"[_.\-]", path.name) + list(path.parts[:-1]):
        if VAGUE_NAME.fullmatch(word):
            yield f"{path}: '{word}' says nothing about what is inside"
    for number, line in enumerate(lines, start=1):
        if path.suffix in {".cc", ".h", ".py"} and (match := VAGUE_TYPE.match(line)):
            yield f"{path}:{number}: the name {match.group(1)} says nothing about what it is"
        if path.suffix in {".cc", ".h"} and path.as_posix() != SCRATCH and SHARED_NAME.search(line):
            yield f"{path}:{number}: a temporary file that tests running side by side may share; see {SCRATCH}"


def faults(root):
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root)
        if path.parts[0] in NOT_OURS or file.suffix not in SOURCES or not file.is_file() or "golden" in path.parts:
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix in {".cc", ".h"}:
            yield from layer_faults(path, text)
        yield from form_faults(path, text)


def main():
    found = list(faults(Path(sys.argv[1])))
    print("\n".join(found) if found else "layers are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
