"""Writes the model files of model_file_test.cc into a directory: a sound one of one layer, and each way to be unsound.

    make_models.py <operator library> <directory>
"""

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import gguf
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2] / "engine" / "export"))
from sinkstream_export import archive  # noqa: E402

torch.ops.load_library(sys.argv[1])
LinearWeight = torch.classes.sinkstream.LinearWeight
StepContext = torch.classes.sinkstream.StepContext

MANIFEST = {
    "magic": "sinkstream-model", "format_version": 1, "name": "tiny", "architecture": "llama", "dtype": "float32",
    "vocab_size": 50, "layers": 1, "hidden": 16, "intermediate": 32, "heads": 2, "kv_heads": 1, "head_dim": 8,
    "positions": {"kind": "rope", "theta": 10000.0, "dims": 8}, "trained_context": 64, "bos_token": 1,
    "eos_token": None, "license": "none",
}
TEXTS = {"tokenizer.json": '{"tokenizer": 1}', "chat_format.json": '{"chat": 1}'}


class Tiny(nn.Module):
    """One attention block over an embedding whose matrix is the head too, with the operators of older files: a norm by
    itself and, without `peaks`, no `logits`."""

    def __init__(self, peaks: bool = True):
        super().__init__()
        self.peaks = peaks
        torch.manual_seed(7)
        self.embedding = LinearWeight(torch.randn(50, 16), None)
        self.qkv = LinearWeight(torch.randn(32, 16) / 4, None)
        self.out = LinearWeight(torch.randn(16, 16) / 4, None)
        self.register_buffer("norm", torch.ones(16))
        self.register_buffer("inv_freq", 1.0 / 10000.0 ** (torch.arange(0, 8, 2, dtype=torch.float64) / 8))

    def forward(self, tokens: Tensor, logit_rows: Tensor, step: StepContext) -> Tensor:
        ops = torch.ops.sinkstream
        x = ops.embedding(tokens, self.embedding)
        qkv = ops.linear(ops.rms_norm(x, self.norm, 1e-5), self.qkv)
        attended = ops.sink_attention(qkv, ops.rotary_table(self.inv_freq, step), 0, 2, 1, 8, 0.35, step)
        x = ops.linear_add(attended, self.out, x).index_select(0, logit_rows)
        return ops.logits(x, self.embedding, step) if self.peaks else ops.linear(x, self.embedding)


class TinyOfPaddedHead(Tiny):
    """Takes the logits of a head that is longer than the vocabulary, and cuts them afterwards."""

    def __init__(self):
        super().__init__()
        self.head = LinearWeight(torch.randn(64, 16), None)

    def forward(self, tokens: Tensor, logit_rows: Tensor, step: StepContext) -> Tensor:
        x = torch.ops.sinkstream.embedding(tokens, self.embedding).index_select(0, logit_rows)
        return torch.ops.sinkstream.logits(x, self.head, step)[:, :50].contiguous()


class TinyOfBlocks(nn.Module):
    """As Tiny, of the size of a block: the embedding, which is the head too, in 8 bits, the others in 4 (or 8)."""

    def __init__(self, inner: gguf.GGMLQuantizationType):
        super().__init__()
        torch.manual_seed(7)
        self.embedding = LinearWeight(blocks(torch.randn(50, 32), gguf.GGMLQuantizationType.Q8_0), None)
        self.qkv = LinearWeight(blocks(torch.randn(64, 32) / 6, inner), None)
        self.out = LinearWeight(blocks(torch.randn(32, 32) / 6, inner), None)
        self.register_buffer("norm", torch.ones(32))

    def forward(self, tokens: Tensor, logit_rows: Tensor, step: StepContext) -> Tensor:
        ops = torch.ops.sinkstream
        x = ops.embedding(tokens, self.embedding)
        qkv = ops.linear(ops.rms_norm(x, self.norm, 1e-5), self.qkv)
        x = ops.linear_add(ops.sink_attention(qkv, None, 0, 2, 1, 16, 0.25, step), self.out, x)
        return ops.logits(x.index_select(0, logit_rows), self.embedding, step)


def blocks(weight: Tensor, kind: gguf.GGMLQuantizationType) -> Tensor:
    return torch.from_numpy(gguf.quants.quantize(weight.numpy(), kind)).view(len(weight), weight.shape[1] // 32, -1)


class NoForward(nn.Module):
    @torch.jit.export
    def backward(self, x: Tensor) -> Tensor:
        return x


def save(path: Path, module: nn.Module, texts: dict[str, str] = TEXTS, **changes) -> None:
    """As the exporter does, with the digest of what is saved."""
    with tempfile.TemporaryDirectory() as folder:
        module_path = Path(folder) / "module.pt"
        archive.save_module(module.eval(), module_path)
        seal(module_path, path, texts, **changes)


def seal(module_path: Path, path: Path, texts: dict[str, str] = TEXTS, **changes) -> None:
    manifest = MANIFEST | {"digest": archive.digest(module_path, texts)} | changes
    archive.write_final(module_path, path, texts | {"manifest.json": json.dumps(manifest)})


def rewrite(source: Path, path: Path, change: Callable[[bytes], bytes]) -> None:
    """A copy whose records are changed and whose digest is of the changed ones."""
    reader = torch._C.PyTorchFileReader(str(source))
    with tempfile.TemporaryDirectory() as folder:
        module_path = Path(folder) / "module.pt"
        writer = torch._C.PyTorchFileWriter(str(module_path))
        for name in reader.get_all_records():
            if name not in ("version", ".data/serialization_id") and not name.startswith("extra/"):
                record = change(reader.get_record(name))
                writer.write_record(name, record, len(record))
        writer.write_end_of_file()
        seal(module_path, path)


def patch(source: Path, path: Path, record: str, at: int, data: bytes) -> None:
    """A copy with other bytes from a record's byte `at` on, under the old digest."""
    begin = torch._C.PyTorchFileReader(str(source)).get_record_offset(record) + at
    old = source.read_bytes()
    assert old[begin : begin + len(data)] != data
    path.write_bytes(old[:begin] + data + old[begin + len(data) :])


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    save(directory / "sound.pt", Tiny())
    save(directory / "without_peaks.pt", Tiny(peaks=False))
    save(directory / "magic.pt", Tiny(), magic="another-model")
    save(directory / "newer.pt", Tiny(), format_version=2)
    save(directory / "dtype.pt", Tiny(), dtype="float8")
    save(directory / "dtype_of_lines.pt", Tiny(), dtype="a\nb\rc\u2028d\x1b[2J" + "e" * 1000)
    save(directory / "kv_heads_differ.pt", Tiny(), kv_heads=2)
    save(directory / "layers_differ.pt", Tiny(), layers=5000)
    save(directory / "dtype_differs.pt", Tiny(), dtype="bfloat16")
    save(directory / "vocabulary_differs.pt", Tiny(), vocab_size=51)
    save(directory / "padded_head.pt", TinyOfPaddedHead())
    of_blocks = {"hidden": 32, "head_dim": 16}
    kinds = gguf.GGMLQuantizationType
    save(directory / "int4.pt", TinyOfBlocks(kinds.Q4_1), dtype="int4", **of_blocks)
    save(directory / "int8.pt", TinyOfBlocks(kinds.Q8_0), dtype="int8", **of_blocks)
    save(directory / "kv_int8.pt", Tiny(), kv_dtype="int8")
    save(directory / "int8_differs.pt", TinyOfBlocks(kinds.Q4_0), dtype="int8", **of_blocks)
    save(directory / "no_forward.pt", NoForward())
    torch.jit.save(torch.jit.script(Tiny()), str(directory / "foreign.pt"))
    save(directory / "no_tokenizer.pt", Tiny(), texts={})
    sound = directory / "sound.pt"
    patch(sound, directory / "newer_torch.pt", "version", 0, b"99")
    rewrite(sound, directory / "unknown_operator.pt", lambda data: data.replace(b"ops.sinkstream.rms", b"ops.sinkstream.xyz"))
    rewrite(sound, directory / "unknown_class.pt", lambda data: data.replace(b"LinearWeight", b"LinearWidget"))
    patch(sound, directory / "flipped_weight.pt", "data/2", 41, b"\x01")
    patch(sound, directory / "flipped_tokenizer.pt", "extra/tokenizer.json", 14, b"3")
    (directory / "truncated.pt").write_bytes(sound.read_bytes()[: sound.stat().st_size // 2])
    (directory / "text.pt").write_text("not an archive")
    (directory / "empty.pt").write_bytes(b"")
    with zipfile.ZipFile(directory / "plain_zip.pt", "w") as archive:
        archive.writestr("plain_zip/version", "3\n")
        archive.writestr("plain_zip/hello.txt", "hello")


main(Path(sys.argv[2]))
