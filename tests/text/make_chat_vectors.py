"""Writes what transformers feeds a model of a conversation, for chat_format_parity_test to compare with:

    python make_chat_vectors.py OUTPUT_FILE

A JSON list of cases: `name`, `tokenizer` and `chat_format` (the texts of the files), `system` (or null) and `exchanges`:
for each the user's text (`user`), all tokens up to where the reply begins (`prompt`, by apply_chat_template) and the
reply's own (`reply`).
"""

import json
import pathlib
import sys

from tokenizer_families import of_characters, special, train_characters
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "engine" / "export"))

from sinkstream_export import chat_format, chat_formats  # noqa: E402
from sinkstream_export.checkpoint import Checkpoint, LazyTensors, Provenance  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LINES = ["You know all 7 seas.\n\n", "system user assistant model Instruct: Output:", "[INST] <<SYS>>\n<</SYS>>\n\n [/INST]",
         "<|user|>\n<|assistant|>\n", "What is it? It is 42, isn't it?\n"]
SYSTEMS = [None, "You know\nall 7 seas."]
EXCHANGES = [("What is  it?", "It is 42,\n\nisn't it?"), ("Où {{ x }} 你好 🎉", "Yes."), ("3\n\n- a", "x")]


def byte_level(pattern, names):
    tokenizer = Tokenizer(models.BPE())
    rule = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*rule, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=[AddedToken(name, special=True) for name in names])
    tokenizer.train_from_iterator(LINES * 4, trainer)
    return tokenizer


def of_sentencepiece(names, normalizer, pre_tokenizer, **options):
    tokenizer = of_characters(train_characters("".join(LINES * 4)), normalizer, pre_tokenizer)
    tokenizer.add_special_tokens([special(name, **options) for name in names if name not in ("<s>", "</s>")])
    return tokenizer


LLAMA2 = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
TOKENIZERS = {
    "llama3": lambda names: byte_level(LLAMA3, names),
    "gpt2": lambda names: byte_level(None, names),
    "llama2": lambda names: of_sentencepiece(names, LLAMA2, None),
    "mistral": lambda names: of_sentencepiece(names, None, pre_tokenizers.Metaspace("▁", "first", split=False)),
    "gemma": lambda names: of_sentencepiece(
        names, normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")),
    "phi3": lambda names: of_sentencepiece(names, LLAMA2, None, rstrip=True),
}


def compiled(name, tokenizer):
    checkpoint = Checkpoint("tiny", "llama", {}, LazyTensors({}, {}), tokenizer.to_str(), None, tokenizer.token_to_id("<s>"),
                            [tokenizer.token_to_id("</s>")], Provenance("tiny", "", "unknown"))
    return chat_format.compile_format(checkpoint, tokenizer, name)


def exchanges(template, tokenizer, name, system):
    """None if the reply's first token is part of the prompt's last: then its tokens are not the model's to sample."""
    messages, made = [], []
    if system is not None:
        messages.append({"role": "system", "content": system})
    for user, reply in EXCHANGES:
        messages.append({"role": "user", "content": user})
        text = template.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = template.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        said = (" " if name in ("llama2", "mistral-v1", "mistral-v3", "phi2") else "") + reply
        together = tokenizer.encode(text + said, add_special_tokens=False).ids
        if together[:len(prompt)] != prompt:
            return None
        made.append({"user": user, "prompt": prompt, "reply": together[len(prompt):]})
        messages.append({"role": "assistant", "content": reply})
    return made


def cases(name, kind):
    source = chat_formats.FORMATS[name]
    tokenizer = TOKENIZERS[kind](dict.fromkeys(("<s>", "</s>", *source.tokens)))
    template = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=source.template, bos_token="<s>",
                                       eos_token="</s>")
    files = compiled(name, tokenizer)
    texts = {"tokenizer": files.tokenizer_json, "chat_format": json.dumps(files.chat_format)}
    for system in SYSTEMS:
        if made := exchanges(template, tokenizer, name, system):
            yield {"name": f"{name} {kind}", **texts, "system": system, "exchanges": made}


def main(out):
    made = [case for name in chat_formats.NAMES if name != "plain" for kind in TOKENIZERS for case in cases(name, kind)]
    pathlib.Path(out).write_text(json.dumps(made), encoding="utf-8")
    print(f"{len(made)} conversations")


if __name__ == "__main__":
    main(sys.argv[1])
