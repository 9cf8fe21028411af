"""The exporter reads tokenizer.json; what the server's own parser refuses is in tests/torch/test_check_text.py."""

import json

import pytest
from sinkstream_export import tokenizer
from sinkstream_export.checkpoint import ExportError

import tiny_models

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def parts(**changes):
    return {**json.loads(tiny_models.make_tokenizer().to_str()), **changes}


@pytest.mark.parametrize("changes", [
    {"pre_tokenizer": BYTE_LEVEL},
    {"pre_tokenizer": METASPACE, "decoder": METASPACE, "normalizer": {"type": "NFKC"}},
])
def test_bpe_is_accepted_and_its_special_tokens_are_read(changes):
    made = tokenizer.check(json.dumps(parts(**changes)), 299)
    assert tokenizer.special_tokens(made) == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}


@pytest.mark.parametrize("value, named", [
    (parts(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}), "model WordLevel"),
    (parts(model={"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a"}), "model WordPiece"),
    (parts(model="BPE"), "model must be an object, not \"BPE\""),
    (parts(added_tokens={"id": 0}), "added_tokens must be an array, not {\"id\": 0}"),
    (parts(added_tokens=["<|im_end|>"]), "added token must be an object, not \"<.im_end.>\""),
    (parts(added_tokens=[{"id": 2, "special": True}]), "tokenizer.json: missing field `content`"),
    (parts(pre_tokenizer={"type": "Nothing"}), "tokenizer.json: "),
])
def test_each_component_that_is_not_supported_or_malformed_is_named(value, named):
    with pytest.raises(ExportError, match=named):
        tokenizer.check(json.dumps(value), 299)


def test_id_outside_the_models_vocabulary_is_refused():
    with pytest.raises(ExportError, match="token id 298 is outside the model's vocabulary of 298"):
        tokenizer.check(json.dumps(parts()), 298)


def test_malformed_text_is_refused():
    with pytest.raises(ExportError, match="tokenizer.json: "):
        tokenizer.check("{", 10)
    with pytest.raises(ExportError, match="tokenizer.json: "):
        tokenizer.check("[]", 10)
