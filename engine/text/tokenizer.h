// Tokenizer: text to token ids and token ids to bytes, for byte-level and SentencePiece-style BPE
// in Hugging Face's tokenizer.json form. Held to the `tokenizers` package (0.23,
// add_special_tokens=False) id for id. Immutable after construction; every method may be called by
// any thread.
//
// Supported of a tokenizer.json: model BPE without dropout and affixes, model Unigram; the
// normalizers, pre-tokenizers and decoders of normalizer.h, pre_tokenizer.h and decoder.h; added
// tokens, with single_word only if special. post_processor, truncation and padding are not read:
// they concern templates and batches.
//
// What the vocabulary lacks is dropped, as the package drops it: of SmolLM2's these are some
// control characters and the first bytes of U+40000 to U+BFFFF (planes without characters).
//
// Special added tokens, and every token that the chat format or its stop tokens use, never come
// from user text: "<|im_end|>" typed by a user is encoded as ordinary text, so that nobody forges a
// turn boundary. The exporter makes the latter special; the chat format names them by id
// (chat_format.h). An exception is the model's unknown token, where there is no byte_fallback.
// Other added tokens (runs of spaces) are vocabulary like any other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/types.h"

namespace sinkstream {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of `text` as it stands behind the token `previous`, or behind nothing (kNoToken); nothing
  // is added before or after it. Requires: valid UTF-8 (the caller has checked).
  //
  // SentencePiece-style tokenizers put a space before a text; which ones, the tokenizer.json says:
  // before one behind nothing, and (prepend_scheme always, normalizer Prepend) behind an added
  // token. Behind an ordinary token, or an id that the tokenizer does not know, a text goes on, as
  // if it had been encoded with what is before it. Behind a token that takes white space (rstrip),
  // that of the text is dropped.
  virtual std::vector<TokenId> Encode(std::string_view text, TokenId previous) const = 0;
  std::vector<TokenId> Encode(std::string_view text) const { return Encode(text, kNoToken); }

  // The bytes a token stands for: possibly part of a character. Empty for special tokens, and for
  // ids that the tokenizer does not know: a model's vocabulary may be padded. `token` >= 0.
  virtual std::string_view TokenBytes(TokenId token) const = 0;

  // Those of the first token of a text: without the space that Encode put there.
  virtual std::string FirstTokenBytes(TokenId token) const {
    return std::string(TokenBytes(token));
  }

  // True if decoding gives U+FFFD for every byte of a broken character (the decoder ByteFallback),
  // not one for each of its maximal parts.
  virtual bool ReplacesBrokenBytes() const { return false; }

  // True for special (control) tokens: they have a name, but no text that a client should see.
  // False for ids that the tokenizer does not know. `token` >= 0.
  virtual bool IsSpecial(TokenId token) const = 0;

  // True if the white space at the end of a text before `token` is dropped (lstrip). `token` >= 0.
  virtual bool TakesSpaceBefore(TokenId) const { return false; }

  // The largest id that it knows, plus one.
  virtual int32_t VocabSize() const = 0;

  // True if the tokens of every text that has `text` in it are those of its parts before and behind
  // `at`; some such places may be missed. SplitAtStableBoundaries relies on it. Requires: a
  // character begins at `at`, 0 < at < text.size().
  // Here: where a word ends (stable_boundaries.h).
  virtual bool IsStableCut(std::string_view text, size_t at) const;
};

}  // namespace sinkstream
