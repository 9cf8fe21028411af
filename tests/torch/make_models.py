"""Writes the model files of model_file_test.cc into a directory: a sound one of one layer, and each way to be unsound.

    make_models.py <operator library> <directory>
"""

import json
import sys
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

torch.ops.load_library(sys.argv[1])
LinearWeight = torch.classes.sinkstream.LinearWeight
StepContext = torch.classes.sinkstream.StepContext

MANIFEST = {
    "magic": "sinkstream-model", "format_version": 1, "name": "tiny", "architecture": "llama", "dtype": "float32",
    "vocab_size": 50, "layers": 1, "hidden": 16, "intermediate": 32, "heads": 2, "kv_heads": 1, "head_dim": 8,
    "positions": {"kind": "rope", "theta": 10000.0, "dims": 8}, "trained_context": 64, "bos_token": 1,
    "eos_token": None, "license": "none", "digest": "00",
}
EXTRA = {"manifest.json": json.dumps(MANIFEST), "tokenizer.json": '{"tokenizer": 1}', "chat_format.json": '{"chat": 1}'}


class Tiny(nn.Module):
    """One attention block over an embedding whose matrix is the head too."""

    def __init__(self):
        super().__init__()
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
        x = ops.linear_add(attended, self.out, x)
        return ops.linear(x.index_select(0, logit_rows), self.embedding)


class NoForward(nn.Module):
    @torch.jit.export
    def backward(self, x: Tensor) -> Tensor:
        return x


def save(path: Path, module: nn.Module, **changes) -> None:
    extra = EXTRA | {"manifest.json": json.dumps(MANIFEST | changes)}
    torch.jit.save(torch.jit.script(module.eval()), str(path), _extra_files=extra)


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    save(directory / "sound.pt", Tiny())
    save(directory / "magic.pt", Tiny(), magic="another-model")
    save(directory / "newer.pt", Tiny(), format_version=2)
    save(directory / "dtype.pt", Tiny(), dtype="float8")
    save(directory / "dtype_of_lines.pt", Tiny(), dtype="a\nb\rc\u2028d\x1b[2J" + "e" * 1000)
    save(directory / "layers_differ.pt", Tiny(), kv_heads=2)
    save(directory / "vocabulary_differs.pt", Tiny(), vocab_size=51)
    save(directory / "no_forward.pt", NoForward())
    torch.jit.save(torch.jit.script(Tiny()), str(directory / "foreign.pt"))
    torch.jit.save(torch.jit.script(Tiny()), str(directory / "no_tokenizer.pt"),
                   _extra_files={"manifest.json": EXTRA["manifest.json"]})
    sound = (directory / "sound.pt").read_bytes()
    (directory / "truncated.pt").write_bytes(sound[: len(sound) // 2])
    (directory / "text.pt").write_text("not an archive")
    (directory / "empty.pt").write_bytes(b"")
    with zipfile.ZipFile(directory / "plain_zip.pt", "w") as archive:
        archive.writestr("plain_zip/version", "3\n")
        archive.writestr("plain_zip/hello.txt", "hello")


main(Path(sys.argv[2]))
