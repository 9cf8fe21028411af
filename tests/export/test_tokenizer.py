"""The exporter accepts those tokenizers alone that the server's own implementation reads."""

import json

import pytest
from sinkstream_export import tokenizer
from sinkstream_export.checkpoint import ExportError

import tiny_models

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLIT = {"type": "Split", "pattern": {"Regex": r"\p{L}+|\s+"}, "behavior": "Isolated", "invert": False}


def parts(**changes):
    return {**json.loads(tiny_models.make_tokenizer().to_str()), **changes}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


@pytest.mark.parametrize("pre_tokenizer", [
    BYTE_LEVEL,
    sequence(SPLIT, {**BYTE_LEVEL, "use_regex": False}),
    sequence({"type": "Digits", "individual_digits": True}, SPLIT, BYTE_LEVEL),
])
def test_byte_level_bpe_is_accepted(pre_tokenizer):
    made = tokenizer.check(json.dumps(parts(pre_tokenizer=pre_tokenizer)), 299)
    assert tokenizer.special_tokens(made) == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}


def with_model(**options):
    value = parts()
    value["model"].update(options)
    return value


def with_plain_added_token():
    value = parts()
    value["added_tokens"][2]["special"] = False
    return value


@pytest.mark.parametrize("value, named", [
    (with_model(byte_fallback=True), "byte_fallback"),
    (with_model(dropout=0.1), "dropout"),
    (with_model(continuing_subword_prefix="##"), "continuing_subword_prefix"),
    (with_model(end_of_word_suffix="</w>"), "end_of_word_suffix"),
    (parts(model={"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}), "model WordLevel"),
    (parts(normalizer={"type": "NFC"}), "normalizer NFC"),
    (parts(decoder=None), "decoder None"),
    (parts(decoder={"type": "Fuse"}), "decoder Fuse"),
    (parts(pre_tokenizer=None), "pre_tokenizer None"),
    (parts(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer Whitespace"),
    (parts(pre_tokenizer={**BYTE_LEVEL, "add_prefix_space": True}), "add_prefix_space"),
    (parts(pre_tokenizer=sequence(BYTE_LEVEL, SPLIT)), "must end in ByteLevel"),
    (parts(pre_tokenizer=sequence(SPLIT)), "must end in ByteLevel"),
    (parts(pre_tokenizer=sequence({**SPLIT, "behavior": "Removed"}, BYTE_LEVEL)), "Split"),
    (parts(pre_tokenizer=sequence({**SPLIT, "invert": True}, BYTE_LEVEL)), "Split"),
    (parts(pre_tokenizer=sequence({**SPLIT, "pattern": {"String": " "}}, BYTE_LEVEL)), "Split"),
    (with_plain_added_token(), r"added token '<\|im_end\|>' is not special"),
])
def test_each_component_that_is_not_supported_is_named(value, named):
    with pytest.raises(ExportError, match=named):
        tokenizer.check(json.dumps(value), 299)


@pytest.mark.parametrize("value, named", [
    (parts(model="BPE"), "model must be an object, not \"BPE\""),
    (parts(normalizer="NFC"), "normalizer must be an object, not \"NFC\""),
    (parts(pre_tokenizer=[BYTE_LEVEL]), r"pre_tokenizer must be an object, not \["),
    (parts(pre_tokenizer={"type": "Sequence"}), "pretokenizers must be an array, not null"),
    (parts(pre_tokenizer=sequence("ByteLevel")), "pre_tokenizer must be an object, not \"ByteLevel\""),
    (parts(pre_tokenizer=sequence({**SPLIT, "pattern": r"\s"}, BYTE_LEVEL)), "pattern must be an object"),
    (parts(pre_tokenizer=sequence({"type": "Split"}, BYTE_LEVEL)), "pre_tokenizer Split"),
    (parts(pre_tokenizer=sequence({}, BYTE_LEVEL)), "pre_tokenizer None"),
    (parts(decoder=7), "decoder must be an object, not 7"),
    (parts(added_tokens={"id": 0}), "added_tokens must be an array, not {\"id\": 0}"),
    (parts(added_tokens=["<|im_end|>"]), "added token must be an object, not \"<.im_end.>\""),
    (parts(added_tokens=[{"id": 2}]), "added token None is not special"),
    (parts(added_tokens=[{"id": 2, "special": True}]), "tokenizer.json: missing field `content`"),
])
def test_json_of_the_wrong_type_is_named(value, named):
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
