"""Reads a Hugging Face directory: config.json, safetensors (also sharded), tokenizer.json or tokenizer.model, chat
template."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
import torch

from . import sentencepiece_model, tokenizer
from .checkpoint import Checkpoint, ExportError, LazyTensors, Provenance, file_sha256, token_list

_FLOATS = {torch.float32, torch.float16, torch.bfloat16}
_FLOAT_NAMES = "float32, float16, bfloat16"
# Read where they are there.
_OPTIONAL = ("generation_config.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors.index.json",
             "README.md")


def read(folder: Path) -> Checkpoint:
    """Raises ExportError naming the file that is missing or malformed."""
    config = _read_json(folder / "config.json")
    generation = _read_json(folder / "generation_config.json", required=False)
    tokenizer_config = _read_json(folder / "tokenizer_config.json", required=False)
    if "model_type" not in config:
        raise ExportError("config.json: model_type is missing")
    _refuse_quantization(config)
    tokenizer_json = _tokenizer_json(folder, tokenizer_config)
    shards = _shards(folder)
    bos = token_list(generation.get("bos_token_id", config.get("bos_token_id")))
    return Checkpoint(
        name=folder.resolve().name,
        architecture=config["model_type"],
        source_config=config,
        tensors=_tensors(shards),
        tokenizer_json=tokenizer_json,
        chat_template=_chat_template(folder, tokenizer_config),
        bos_token=bos[0] if bos else None,
        eos_tokens=_eos_tokens(config, generation, tokenizer_config, tokenizer_json),
        provenance=Provenance(folder.resolve().name, _folder_digest(folder, shards), _license(folder)),
    )


def _tokenizer_file(folder: Path) -> Path:
    model = folder / "tokenizer.model"
    return model if model.is_file() and not (folder / "tokenizer.json").is_file() else folder / "tokenizer.json"


def _tokenizer_json(folder: Path, tokenizer_config: dict) -> str:
    file = _tokenizer_file(folder)
    if file.name == "tokenizer.json":
        return _read_text(file)
    # transformers' LLaMA tokenizers put the beginning-of-text token in front unless told otherwise.
    return sentencepiece_model.from_model(file.read_bytes(), add_bos=tokenizer_config.get("add_bos_token", True))


def _refuse_quantization(config: dict) -> None:
    if (value := config.get("quantization_config")) is not None:
        method = f"quant_method {value.get('quant_method')!r}" if isinstance(value, dict) else repr(value)
        raise ExportError(f"config.json: quantization_config: {method} is not supported (supported: {_FLOAT_NAMES})")


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise ExportError(f"{path.name} is missing in {path.parent}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExportError(f"{path.name}: not UTF-8: {error}") from error


def _read_json(path: Path, required: bool = True) -> dict:
    if not required and not path.is_file():
        return {}
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ExportError(f"{path.name}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ExportError(f"{path.name}: not a JSON object")
    return value


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        names = ["model.safetensors"]
    else:
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ExportError(f"{index.name}: weight_map is missing")
        names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise ExportError(f"{index.name}: {name} is not the name of a file beside it")
        if not (folder / name).is_file():
            raise ExportError(f"{name} is missing in {folder} (weights are read from safetensors)")
    return [folder / name for name in names]


def _tensors(shards: list[Path]) -> LazyTensors:
    loaders, shapes = {}, {}
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                for name in file.keys():
                    loaders[name] = lambda shard=shard, name=name: _load(shard, name)
                    shapes[name] = tuple(file.get_slice(name).get_shape())
        except SafetensorError as error:
            raise ExportError(f"{shard.name}: {error}") from error
    return LazyTensors(loaders, shapes)


def _load(shard: Path, name: str) -> torch.Tensor:
    with safe_open(shard, framework="pt") as file:
        tensor = file.get_tensor(name)
    if tensor.dtype not in _FLOATS:
        raise ExportError(f"tensor {name}: type {tensor.dtype} is not supported (supported: {_FLOAT_NAMES})")
    return tensor


def _chat_template(folder: Path, tokenizer_config: dict) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _read_text(file)
    template = tokenizer_config.get("chat_template")
    if isinstance(template, list):  # [{"name": "default", "template": "..."}, ...]
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
        if template is None:
            raise ExportError("tokenizer_config.json: chat_template is a list without the name 'default'")
    return template


def _eos_tokens(config: dict, generation: dict, tokenizer_config: dict, tokenizer_json: str) -> list[int]:
    for source in (generation, config):
        if ids := token_list(source.get("eos_token_id")):
            return ids
    eos = tokenizer_config.get("eos_token")
    content = eos.get("content") if isinstance(eos, dict) else eos
    if content is None:
        return []
    if (token := tokenizer.added_token_id(tokenizer_json, content)) is None:
        raise ExportError(f"tokenizer_config.json: eos_token {content!r} is not an added token of tokenizer.json")
    return [token]


def _license(folder: Path) -> str:
    card = folder / "README.md"
    if card.is_file():
        front = card.read_text(encoding="utf-8", errors="replace").split("---")
        if len(front) > 2 and (found := re.search(r"^license:\s*(\S+)", front[1], re.MULTILINE)):
            return found.group(1)
    return "unknown"


def _folder_digest(folder: Path, shards: list[Path]) -> str:
    names = ["config.json", _tokenizer_file(folder).name, *(shard.name for shard in shards)]
    names += [name for name in _OPTIONAL if (folder / name).is_file()]
    lines = [f"{file_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
