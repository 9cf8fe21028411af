"""The most memory that a server takes (server/process/memory_limit.h), with the figures that docs/operations.md tells."""

import pathlib
import re

MIB = 2 ** 20
UNITS = {"MiB": MIB, "GiB": 1024 * MIB, "Gi": 1024 * MIB, "m": MIB, "g": 1024 * MIB}
OPERATIONS = pathlib.Path(__file__).resolve().parents[2] / "docs/operations.md"
READY = 820 * MIB  # weights of float32 and libraries; other weights of the default model are smaller


def bytes_of(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+) ?([A-Za-z]+)", size).groups()
    return int(number) * UNITS[unit]


def value_of(flag: str, arguments: list[str]) -> str:
    """As given, or else the flag's default."""
    given = [argument.split("=")[1] for argument in arguments if argument.startswith(f"{flag}=")]
    if not given:
        given = re.findall(rf"^\| `{flag}` \| ([^|]+) \|", OPERATIONS.read_text(), re.MULTILINE)
    [value] = given
    return value.strip("`")


def memory_limit(arguments: list[str]) -> float:
    """Of a server with `arguments` and the default model, in bytes."""
    text = " ".join(OPERATIONS.read_text().split())
    told = text[text.index("- **In all** the process takes"):]
    grpc, waiting, session = (
        float(re.search(rf"([\d.]+) MiB {of}", told)[1]) * MIB
        for of in ("of gRPC", "of calls that wait for the engine, as much of calls that wait for a session", "a session"))
    pools = sum(bytes_of(value_of(flag, arguments)) for flag in ("--kv_bytes", "--distribution_bytes"))
    return READY + pools + grpc + 2 * waiting + int(value_of("--max_sessions", arguments)) * session
