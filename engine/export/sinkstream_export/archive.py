"""The TorchScript archive: scripted module in, final file with its extra files out, the same bytes each time."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch

# torch writes these itself into each archive.
_TORCH_RECORDS = ("version", ".data/serialization_id")


def save_module(module: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(module), str(path))


def _model_records(reader: torch._C.PyTorchFileReader) -> list[str]:
    # Debug records name the paths of the machine that exported; the module loads without them.
    return [name for name in reader.get_all_records()
            if name not in _TORCH_RECORDS and not name.endswith(".debug_pkl")]


def digest(path: Path, extra_files: dict[str, str]) -> str:
    """sha256 over the module's records (weights and code) and `extra_files`: for each, sorted by name,
    "<name> <length>\\n" and the bytes."""
    reader = torch._C.PyTorchFileReader(str(path))
    extra = {f"extra/{name}": text.encode() for name, text in extra_files.items()}
    total = hashlib.sha256()
    for name in sorted([*_model_records(reader), *extra]):
        data = extra[name] if name in extra else reader.get_record(name)
        total.update(f"{name} {len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()


def write_final(module_path: Path, out: Path, extra_files: dict[str, str]) -> None:
    """Copies the module's records to `out`, whose file name is written into it, and adds the extra files."""
    reader = torch._C.PyTorchFileReader(str(module_path))
    writer = torch._C.PyTorchFileWriter(str(out))
    writer.set_min_version(int(reader.get_record("version")))
    for name in _model_records(reader):
        _write(writer, name, reader.get_record(name))
    for name, text in sorted(extra_files.items()):
        _write(writer, f"extra/{name}", text.encode())
    writer.write_end_of_file()


def publish(path: Path, out: Path) -> None:
    """Renames `path` to `out`, in a folder of the same disk. After a power cut `out` is the older file or the whole new
    one; once this returns, the new one."""
    _to_disk(path)
    os.replace(path, out)
    _to_disk(out.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(writer: torch._C.PyTorchFileWriter, name: str, data: bytes) -> None:
    writer.write_record(name, data, len(data))
