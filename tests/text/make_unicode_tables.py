"""Writes engine/text/unicode_tables.inc: where the `tokenizers` package and PCRE2 see Unicode differently.

The package's regular expressions (Oniguruma) know a newer Unicode than PCRE2 may, and its Digits pre-tokenizer (Rust's
char::is_numeric) a newer one still; its Punctuation pre-tokenizer and its normalizers know old ones. The tables are
asked of the package itself. Run it with a Python whose unicodedata is the oldest Unicode that is to be supported
(Python 3.11: 14.0, as PCRE2 10.40 to 10.42), and with the newest Unicode as unicodedata2:

    python make_unicode_tables.py > engine/text/unicode_tables.inc
"""

import sys
import unicodedata

import tokenizers
import unicodedata2
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def matched(pre_tokenizer):
    """Code points that the pre-tokenizer cuts out between two letters."""
    found = set()
    for begin in range(0, len(CODE_POINTS), 4096):
        text = "".join("a" + chr(c) for c in CODE_POINTS[begin : begin + 4096])
        pieces = [text[a:b] for _, (a, b) in pre_tokenizer.pre_tokenize_str(text)]
        found.update(ord(p) for p in pieces if len(p) == 1 and p != "a")
    return found


def oniguruma_categories():
    categories = {}
    for name in CATEGORIES.split():
        # The lookbehind keeps the letters between the code points whole.
        pattern = Regex(r"\p{%s}(?<=a.)" % name)
        split = pre_tokenizers.Split(pattern, "isolated")
        for code in matched(split):
            categories[code] = name
    categories[ord("a")] = "Ll"
    categories[ord("\n")] = "Cc"  # "." does not match it
    return categories


def ranges(items):
    """[(code, value)] in order -> [(first, last, value)]."""
    out = []
    for code, value in items:
        if out and out[-1][1] == code - 1 and out[-1][2] == value:
            out[-1] = (out[-1][0], code, value)
        else:
            out.append((code, code, value))
    return out


def nearest_known(code, category):
    """The code point nearest to `code` that old Unicode puts in `category`, of the same length in UTF-8."""
    length = len(chr(code).encode())
    for distance in range(1, 0x110000):
        for other in (code - distance, code + distance):
            if not 0 <= other < 0x110000 or 0xD800 <= other < 0xE000:
                continue
            if len(chr(other).encode()) == length and unicodedata.category(chr(other)) == category:
                return other
    raise ValueError(hex(code))


def new_to_normalizers():
    """Code points that the package's normalizers leave alone and the newest Unicode does not."""
    forms = {name: getattr(normalizers, name)() for name in ("NFD", "NFC", "NFKD", "NFKC")}
    classes = "\u0334\u0301\u0345\u0316"  # of several combining classes: an order tells a character's own
    found = set()
    for code in CODE_POINTS:
        c = chr(code)
        orders = [text for mark in classes for text in ("a" + mark + c, "a" + c + mark)]
        cases = [(name, c) for name in forms] + [("NFD", text) for text in orders]
        if any(forms[name].normalize_str(text) != unicodedata2.normalize(name, text) for name, text in cases):
            found.add(code)
            found.update(int(part, 16) for part in unicodedata2.decomposition(c).split()[:2] if "<" not in part
                         and unicodedata.category(chr(int(part, 16))) in ("Cn", "Mc"))
    return found


def print_ranges(name, codes):
    print(f"}};\n\nconstexpr CodeRange {name}[] = {{")
    for first, last, _ in ranges((c, None) for c in sorted(codes)):
        print(f"    {{0x{first:04X}, 0x{last:04X}}},")


def main():
    categories = oniguruma_categories()
    if len(categories) != len(CODE_POINTS):
        sys.exit("some code points have no category")
    changed = [
        (code, categories[code])
        for code in CODE_POINTS
        if categories[code] != unicodedata.category(chr(code))
    ]
    print(f"// Written by tests/text/make_unicode_tables.py: tokenizers {tokenizers.__version__} against Unicode "
          f"{unicodedata.unidata_version}.")
    print("constexpr Substitute kSubstitutes[] = {")
    rows = [(a, b, nearest_known(a, c), c) for a, b, c in ranges(changed)]
    rows.append((0x180E, 0x180E, 0x200B, r"Cf, but white space to PCRE2"))
    for first, last, known, category in sorted(rows):
        print(f"    {{0x{first:04X}, 0x{last:04X}, 0x{known:04X}}},  // {category}")
    print_ranges("kNumeric", matched(pre_tokenizers.Digits(individual_digits=True)))
    print_ranges("kPunctuation", matched(pre_tokenizers.Punctuation()))
    print_ranges("kNewToNormalizers", new_to_normalizers())
    print("};")


if __name__ == "__main__":
    main()
