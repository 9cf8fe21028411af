"""Texts for make_tokenizer_vectors.py: code, emoji, many scripts, combining marks, odd spaces; all from a seed."""

import random

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


def every_code():
    """Every code point of the planes that have characters and a sample of the others."""
    yield from (c for c in range(0x40000) if not 0xD800 <= c < 0xE000)
    yield from [*range(0xE0000, 0xE0200), *range(0x40000, 0x110000, 997)]


def most_codes():
    """Those of the two planes where characters differ most, compatibility ideographs and a sample."""
    yield from (c for c in range(0x20000) if not 0xD800 <= c < 0xE000)
    yield from [*range(0x2F800, 0x2FA20), *range(0xE0000, 0xE0200), *range(0x20000, 0x110000, 997)]


def characters(codes):
    """Texts with each character in several places of a word."""
    codes = list(codes)
    for begin in range(0, len(codes), 512):
        yield "".join(f"a{c}1{c}{c} {c}\n" for c in map(chr, codes[begin : begin + 512]))


def short_texts():
    yield from ["a", " ", "\n", "  a", "a  ", " \n ", "'s", "a's", "'", "x" * 300, " " * 300, "1" * 300]
    yield from ["\u2581", "\u2581a", " \u2581 a", "a\u2581b", "\u2581 \u2581", "<0x41>", "<unk>", "a<unk> b"]


def random_texts(rng):
    for _ in range(10_000):
        yield "".join(random_character(rng) for _ in range(rng.randint(1, 20)))


def texts_with(contents, rng):
    """Texts in which `contents`, those of added tokens, stand among white space and words."""
    for _ in range(2_000 if contents else 0):
        parts = [rng.choice([rng.choice(contents), rng.choice(["a", " b", "  ", "\n", " \t", "<", "é", "\u0301"])])
                 for _ in range(rng.randint(1, 9))]
        yield "".join(parts)


def long_texts(rng):
    text = mixed_text(rng, 1_000_000)
    for begin in range(0, len(text), 50_000):
        yield text[begin : begin + 50_000]
