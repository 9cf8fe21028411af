"""Writes what the `tokenizers` package says, for tokenizer_parity_test to compare with:

    python make_tokenizer_vectors.py OUTPUT_DIRECTORY

For each tokenizer NAME (tokenizer_families.py): NAME.json (its tokenizer.json) and NAME.vectors: the id of a special
token, as a uint32, then cases one after another, each
    text, its ids, its ids behind the special token, other ids, text of the other ids
where a text is a little-endian uint32 of bytes and UTF-8, and ids are a uint32 of ids and as many uint32. The last three
are those of the empty text from case CASES_IN_FULL on.
Texts spell special tokens too: the ids are those of a tokenizer in which nothing spells them.
"""

import argparse
import json
import pathlib
import random
import struct

import tokenizer_families
import tokenizer_texts
from tokenizers import Tokenizer

CASES_IN_FULL = 4_000
BYTE_TOKENS = {f"<0x{byte:02X}>": byte for byte in range(256)}


def without_special_tokens(tokenizer):
    """The same ids, but the special tokens have names that no text spells."""
    parsed = json.loads(tokenizer.to_str())
    for token in parsed["added_tokens"]:
        if not token["special"]:
            continue
        hidden = f"\U0010fffe{token['id']}"
        vocab = parsed["model"]["vocab"]
        if parsed["model"]["type"] == "Unigram":
            parsed["model"]["vocab"] = [[hidden if text == token["content"] else text, score] for text, score in vocab]
        elif token["content"] in vocab:
            vocab[hidden] = vocab.pop(token["content"])
            if parsed["model"]["unk_token"] == token["content"]:
                parsed["model"]["unk_token"] = hidden
        token["content"] = hidden
    parsed["post_processor"] = None
    return Tokenizer.from_str(json.dumps(parsed))


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


def is_whole(data):
    try:
        data.decode()
        return True
    except UnicodeDecodeError:
        return False


def has_mixed_run(tokenizer, ids, special_ids):
    """True for a run of bytes' tokens that has both whole characters and broken ones (detokenizer.h)."""
    run = b""
    for token in [tokenizer.id_to_token(i) for i in ids if i not in special_ids] + [""]:
        if token in BYTE_TOKENS:
            run += bytes([BYTE_TOKENS[token]])
            continue
        if not is_whole(run) and run.decode(errors="ignore"):
            return True
        run = b""
    return False


def random_ids(rng, tokenizer, size, special_ids):
    """Half of them short runs of bytes, where the vocabulary has tokens for bytes."""
    low = tokenizer.token_to_id("<0x00>")
    while True:
        ids = []
        for _ in range(rng.randint(0, 8)):
            if low is not None and rng.random() < 0.5:
                data = rng.choice("aé字😀").encode()[: rng.randint(1, 4)]
                ids += [low + byte for byte in data]
            ids.append(rng.randrange(size))
        if low is None or not has_mixed_run(tokenizer, ids, special_ids):
            return ids


def write_vectors(path, tokenizer, cases):
    rng = random.Random(1)
    size = tokenizer.get_vocab_size()
    special_ids = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special = min(special_ids - {tokenizer.token_to_id("<unk>")})
    hidden = without_special_tokens(tokenizer)
    name = hidden.id_to_token(special)
    encodings = hidden.encode_batch_fast(cases, add_special_tokens=False)
    behind = hidden.encode_batch_fast([name + case for case in cases[:CASES_IN_FULL]], add_special_tokens=False)
    with open(path, "wb") as out:
        out.write(struct.pack("<I", special))
        for i, (case, encoding) in enumerate(zip(cases, encodings)):
            in_full = i < CASES_IN_FULL
            others = random_ids(rng, tokenizer, size, special_ids) if in_full else []
            write_text(out, case)
            write_ids(out, encoding.ids)
            write_ids(out, behind[i].ids[1:] if in_full else [])
            write_ids(out, others)
            write_text(out, tokenizer.decode(others, skip_special_tokens=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    rng = random.Random(20240607)
    common = [*tokenizer_texts.short_texts(), *tokenizer_texts.random_texts(rng), *tokenizer_texts.long_texts(rng)]
    texts_of = {"every": list(tokenizer_texts.characters(tokenizer_texts.every_code())),
                "most": list(tokenizer_texts.characters(tokenizer_texts.most_codes())), None: []}
    for family in tokenizer_families.families():
        tokenizer = family.tokenizer
        contents = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        cases = list(tokenizer_texts.texts_with(contents, random.Random(2))) + common + texts_of[family.characters]
        text = tokenizer.to_str()
        (directory / f"{family.name}.json").write_text(string_merges(text) if family.name == "gpt2" else text)
        write_vectors(directory / f"{family.name}.vectors", tokenizer, cases)


if __name__ == "__main__":
    main()
