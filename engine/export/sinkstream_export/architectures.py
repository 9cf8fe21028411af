"""Which architectures can be exported. `register` adds one, also from outside this package."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .checkpoint import Checkpoint, DecoderConfig, ExportError
from .precision import Precision


def _weights_alone(name: str) -> str | None:
    # Old checkpoints carry the rotary frequencies, which config.json gives as well.
    return None if name.endswith("rotary_emb.inv_freq") else name


def _same_config(config: dict) -> dict:
    return config


def _as_it_is(reference: torch.nn.Module) -> None:
    pass


@dataclass(frozen=True)
class Architecture:
    """`read_config` turns Checkpoint.source_config into sizes and refuses (ExportError) what it does not implement.

    `build` makes the module that is scripted: forward(tokens, logit_rows, step) as in docs/model_artifact.md, weights
    in the given precision. `streaming_oracle` (transformers' model, tokens [T], sinks, window, float32 or float64) gives
    the logits [T, vocab_size] of the streamed text by other means, computed in that type, for the verifier; left out,
    it is oracle.band_sink_logits, which knows transformers' models. `tensor_name` gives transformers' name of a
    checkpoint's tensor where an older one differs, and None for what is no weight. `reference_config` gives a
    config.json that read_config took in the words and types that transformers takes, where published ones differ.
    `prepare_reference` corrects transformers' model where it departs from what the model was trained as.
    """

    read_config: Callable[[dict], DecoderConfig]
    build: Callable[[Checkpoint, DecoderConfig, Precision], torch.nn.Module]
    streaming_oracle: Callable[[torch.nn.Module, torch.Tensor, int, int, torch.dtype], torch.Tensor] | None = None
    tensor_name: Callable[[str], str | None] = _weights_alone
    reference_config: Callable[[dict], dict] = _same_config
    prepare_reference: Callable[[torch.nn.Module], None] = _as_it_is


# Their modules name classes of the operator library, so they are imported once it has been loaded.
_BUILT_IN = ("bloom", "falcon", "gemma", "gpt_neox", "gptj", "llama", "mistral", "mpt", "phi", "qwen2", "qwen3",
             "stablelm")
_registered: dict[str, Architecture] = {}

_REFUSED = {
    "has learned absolute positions, which cannot stream: there is no embedding for a position beyond the trained"
    " context, and a cached token cannot be moved to an earlier one": """
        biogpt ctrl gpt2 gpt_bigcode gpt_neo gpt-sw3 imagegpt openai-gpt opt xglm""",
    "compresses keys and values (multi-head latent attention), which is not supported": """
        deepseek_v2 deepseek_v3 deepseek_v32 glm4_moe_lite glm_moe_dsa kimi_k2 longcat_flash minicpm3
        mistral4""",
    "is a mixture of experts, which is not supported": """
        afmoe cohere2_moe dbrx deepseek_v4 dots1 ernie4_5_moe exaone_moe flex_olmo glm4_moe gpt_oss granitemoe
        granitemoeshared hunyuan_v1_moe jetmoe minimax minimax_m2 mixtral olmoe phimoe qwen2_moe qwen3_moe
        solar_open""",
    "keeps a recurrent or convolutional state, which is neither keys nor values of tokens": """
        bamba falcon_h1 falcon_mamba granitemoehybrid jamba kimi_linear lfm2 lfm2_moe mamba mamba2 nemotron_h
        olmo_hybrid qwen3_5 qwen3_5_moe qwen3_next recurrent_gemma rwkv xlstm zamba zamba2""",
    "is an encoder and a decoder; a stream needs a decoder alone": """
        bart bigbird_pegasus blenderbot blenderbot-small fsmt led longt5 m2m_100 marian mbart mt5 mvp nllb-moe pegasus
        pegasus_x plbart prophetnet switch_transformers t5 t5gemma umt5 whisper""",
    "is an encoder, which does not generate": """
        albert bert big_bird camembert canine data2vec-text deberta deberta-v2 distilbert electra ernie esm eurobert
        funnel longformer megatron-bert mobilebert modernbert mpnet nomic_bert nystromformer rembert roberta roformer
        squeezebert xlm-roberta xlm-roberta-xl xlnet xmod""",
    "reads images or sound, which is not supported": """
        aria chameleon cohere2_vision emu3 fuyu gemma3 gemma3n gemma4 glm4v idefics idefics2 idefics3 internvl
        kosmos-2 llama4 llava llava_next llava_onevision mistral3 mllama ovis2 paligemma phi4_multimodal pixtral
        qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_vl qwen3_vl qwen3_vl_moe smolvlm voxtral""",
}


def register(model_type: str, architecture: Architecture) -> None:
    """Makes `model_type` (as in config.json) exportable. The last registration counts."""
    _registered[model_type] = architecture


def find(model_type: str) -> Architecture:
    """The architecture of `model_type`; ExportError names what is not supported and why."""
    if model_type in _registered:
        return _registered[model_type]
    if model_type in _BUILT_IN:
        importlib.import_module(f"{__package__}.{model_type}")
        return _registered[model_type]
    for reason, model_types in _REFUSED.items():
        if model_type in model_types.split():
            raise ExportError(f"architecture '{model_type}' {reason}")
    known = ", ".join(sorted({*_BUILT_IN, *_registered}))
    raise ExportError(f"architecture '{model_type}' is not supported (supported: {known})")
