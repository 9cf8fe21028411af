"""tokenizer.model becomes a tokenizer.json; the oracle is SentencePiece itself, on models that are trained here."""

import io
import json
import random

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from sinkstream_export import gguf, hf, operators, sentencepiece_model
from sinkstream_export.checkpoint import ExportError
from tokenizers import Tokenizer

import tiny_models

LETTERS = "abcdefghij éè字漢кир. ,<0xA>\n"


DEFINED = ["<x>", "<start_of_turn>", "▁▁", "▁▁▁", "\n\n"]  # as Gemma's


def random_text(rng, length):
    return "".join(rng.choice(LETTERS + "   ") for _ in range(length))


def train(**options) -> bytes:
    rng = random.Random(1)
    model = io.BytesIO()
    defaults = {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False, "minloglevel": 2}
    SentencePieceTrainer.train(sentence_iterator=(random_text(rng, 60).replace("\n", " ") for _ in range(400)),
                               model_writer=model, **{**defaults, **options})
    return model.getvalue()


@pytest.mark.parametrize("options", [
    {}, {"add_dummy_prefix": False}, {"model_type": "unigram"}, {"model_type": "unigram", "byte_fallback": False},
])
def test_a_model_encodes_as_sentencepiece_does(options):
    data = train(**options)
    oracle = SentencePieceProcessor(model_proto=data)
    text = sentencepiece_model.from_model(data, add_bos=True)
    made = Tokenizer.from_str(text)
    rng = random.Random(2)
    for _ in range(500):
        sample = random_text(rng, rng.randrange(1, 80)) + rng.choice(["", "😀", "zzz", " ▁", "<0x0A>b", "<x>b", "a   ", " \n\n\nb"])
        assert made.encode(sample, add_special_tokens=False).ids == oracle.encode(sample), sample
    assert made.encode("a").ids[0] == oracle.bos_id()
    operators.check_text(text, json.dumps(PLAIN), 420)


ROLE = {"prefix": [], "suffix": []}
PLAIN = {"format_version": 1, "name": "plain", "trim": False, "begin": [], "system": ROLE, "user": ROLE,
         "assistant": ROLE, "default_system": None, "stop_tokens": []}


def test_a_directory_without_tokenizer_json_is_read_by_its_tokenizer_model(tmp_path):
    folder = tmp_path / "model"
    tiny_models.write_hf(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(train())
    checkpoint = hf.read(folder)
    assert json.loads(checkpoint.tokenizer_json)["model"]["byte_fallback"]
    digest = checkpoint.provenance.source_sha256
    (folder / "tokenizer.model").write_bytes(train(add_dummy_prefix=False))
    assert hf.read(folder).provenance.source_sha256 != digest


def gguf_values(data: bytes) -> dict:
    processor = SentencePieceProcessor(model_proto=data)
    size = processor.vocab_size()
    kinds = [2 if processor.is_unknown(i) else 3 if processor.is_control(i) else 6 if processor.is_byte(i) else 1
             for i in range(size)]
    return dict(tokenizer__ggml__model="llama", tokenizer__ggml__pre=None, tokenizer__ggml__merges=None,
                tokenizer__ggml__tokens=[processor.id_to_piece(i) for i in range(size)],
                tokenizer__ggml__scores=[processor.get_score(i) for i in range(size)],
                tokenizer__ggml__token_type=kinds)


def test_a_gguf_file_with_scores_gives_the_same_tokenizer_as_the_model(tmp_path):
    data = train()
    path = tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny_models.make_model(vocab_size=420), **gguf_values(data))
    assert json.loads(gguf.read(path).tokenizer_json) == json.loads(sentencepiece_model.from_model(data, add_bos=True))


@pytest.mark.parametrize("options, named", [
    ({"model_type": "char"}, "model type CHAR"),
    ({"normalization_rule_name": "nmt_nfkc"}, "normalizer nmt_nfkc"),
    ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces = True"),
    # SentencePiece puts no space behind them, as tokenizer.json does.
    ({"user_defined_symbols": ["<x>"]}, "encodes otherwise"),
])
def test_what_tokenizer_json_cannot_say_is_named(options, named):
    with pytest.raises(ExportError, match=named):
        sentencepiece_model.from_model(train(**options), add_bos=False)


def test_what_is_no_model_is_refused():
    with pytest.raises(ExportError, match="tokenizer.model: not a SentencePiece model"):
        sentencepiece_model.from_model(b"\xff\xff", add_bos=False)
