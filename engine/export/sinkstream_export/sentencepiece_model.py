"""Makes a tokenizer.json of a SentencePiece model: from tokenizer.model, or of pieces and scores."""

from __future__ import annotations

import json
from dataclasses import dataclass

from google.protobuf.message import DecodeError
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from tokenizers import Tokenizer

from . import tokenizer
from .checkpoint import ExportError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type
_SPACE = "▁"
_SAMPLE = " Two  spaces, a line's end\nand\ttab; naïve 字 😀 \u0301 1234.5 `code_x += 1`\n\n  ▁ <0x0A> "


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    kind: int


def from_model(data: bytes, add_bos: bool) -> str:
    """The text of a tokenizer.json that encodes as the tokenizer.model `data`; ExportError names what it has that
    tokenizer.json or the server does not. `add_bos`: the beginning-of-text token stands in front of a text."""
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ExportError(f"tokenizer.model: not a SentencePiece model: {error}") from error
    _check(proto)
    pieces = [Piece(piece.piece, piece.score, piece.type) for piece in proto.pieces]
    bos = proto.trainer_spec.bos_id
    front = tokenizer.in_front(pieces[bos].text, bos) if add_bos and 0 <= bos < len(pieces) else None
    is_unigram = proto.trainer_spec.model_type == proto.trainer_spec.UNIGRAM
    text = build(pieces, "tokenizer.model", proto.normalizer_spec.add_dummy_prefix, front, is_unigram)
    sample = _SAMPLE + "".join(f"a{piece.text}b" for piece in pieces if piece.kind == USER_DEFINED)
    ids = Tokenizer.from_str(text).encode(sample, add_special_tokens=False).ids
    if ids != SentencePieceProcessor(model_proto=data).encode(sample):
        raise ExportError("tokenizer.model: the tokenizer.json made of it encodes otherwise; export with a tokenizer.json")
    return text


def _check(proto: sentencepiece_model_pb2.ModelProto) -> None:
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if trainer.model_type not in (trainer.BPE, trainer.UNIGRAM):
        kind = trainer.ModelType.Name(trainer.model_type)
        raise ExportError(f"tokenizer.model: model type {kind} is not supported (supported: BPE, UNIGRAM)")
    if normalizer.precompiled_charsmap:
        raise ExportError(f"tokenizer.model: normalizer {normalizer.name} is not supported (supported: identity)")
    for name, supported, value in (
        ("remove_extra_whitespaces", False, normalizer.remove_extra_whitespaces),
        ("escape_whitespaces", True, normalizer.escape_whitespaces),
        ("treat_whitespace_as_suffix", False, trainer.treat_whitespace_as_suffix),
    ):
        if value != supported:
            raise ExportError(f"tokenizer.model: {name} = {value} is not supported")
    if unused := [piece.piece for piece in proto.pieces if piece.type == UNUSED]:
        raise ExportError(f"tokenizer.model: unused tokens ({unused[0]!r}) are not supported")


def build(
    pieces: list[Piece], source: str, add_prefix: bool, post_processor: dict | None, is_unigram: bool = False,
) -> str:
    """The text of a tokenizer.json. `source` names the pieces in an ExportError; `add_prefix`: a space stands before a
    text; `is_unigram`: else BPE."""
    vocab = {}
    for index, piece in enumerate(pieces):
        if vocab.setdefault(piece.text, index) != index:
            raise ExportError(f"{source}: token {piece.text!r} occurs twice")
    if (unknown := sum(piece.kind == UNKNOWN for piece in pieces)) != 1:
        raise ExportError(f"{source}: {unknown} unknown tokens instead of one")
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    prepend = [{"type": "Prepend", "prepend": _SPACE}] if add_prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if add_prefix else []
    return json.dumps({
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, piece) for index, piece in enumerate(pieces)
                         if piece.kind in (UNKNOWN, CONTROL, USER_DEFINED)],
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, replace]},
        "pre_tokenizer": None,
        "post_processor": post_processor,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, *strip]},
        "model": _unigram(pieces) if is_unigram else _bpe(pieces, vocab),
    }, ensure_ascii=False)


def _unknown(pieces: list[Piece]) -> int:
    return next(index for index, piece in enumerate(pieces) if piece.kind == UNKNOWN)


def _has_bytes(pieces: list[Piece]) -> bool:
    return any(piece.kind == BYTE for piece in pieces)


def _bpe(pieces: list[Piece], vocab: dict[str, int]) -> dict:
    return {"type": "BPE", "dropout": None, "unk_token": pieces[_unknown(pieces)].text,
            "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
            "byte_fallback": _has_bytes(pieces), "ignore_merges": False, "vocab": vocab, "merges": _merges(pieces)}


def _unigram(pieces: list[Piece]) -> dict:
    # To `tokenizers` a byte's token is a piece as any other: any way to spell "<0x0A>" must be the better one.
    of_bytes = len("<0x0A>") * min(0.0, *(piece.score for piece in pieces if piece.kind != BYTE)) - 1
    return {"type": "Unigram", "unk_id": _unknown(pieces), "byte_fallback": _has_bytes(pieces),
            "vocab": [[piece.text, of_bytes if piece.kind == BYTE else piece.score] for piece in pieces]}


def _added(index: int, piece: Piece) -> dict:
    """User-defined tokens are found in any text; with its spaces replaced, as they have them."""
    is_special = piece.kind != USER_DEFINED
    return {"id": index, "content": piece.text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": not is_special and _SPACE in piece.text, "special": is_special}


def _merges(pieces: list[Piece]) -> list[list[str]]:
    """Every way to make a piece of two, the pieces of highest score first, as transformers' converter does it."""
    ids = {piece.text: index for index, piece in enumerate(pieces) if piece.kind == NORMAL}
    merges = []
    for text in sorted(ids, key=lambda text: -pieces[ids[text]].score):
        pairs = [[text[:i], text[i:]] for i in range(1, len(text)) if text[:i] in ids and text[i:] in ids]
        merges += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    return merges
