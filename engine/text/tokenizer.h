// Tokenizer: text to token ids and token ids to bytes, for byte-level and SentencePiece-style BPE
// in Hugging Face's tokenizer.json form. Held to the `tokenizers` package (0.23,
// add_special_tokens=False) id for id. Immutable after construction; every method may be called by
// any thread.
//
// Supported of a tokenizer.json: model BPE without dropout and affixes, model Unigram; the
// normalizers, pre- tokenizers and decoders of normalizer.h, pre_tokenizer.h and decoder.h; added
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
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
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
  // Here: where a word ends (EndsWord).
  virtual bool IsStableCut(std::string_view text, size_t at) const;
};

// True if a letter is before `at` and no letter behind it, or a number (\p{N}) and no number.
// Requires: valid UTF-8, a character begins at `at`, 0 < at < text.size().
bool EndsWord(std::string_view text, size_t at);

// Parses the text of a tokenizer.json. INVALID_ARGUMENT names the component that is not supported
// (model type, normalizer, pre-tokenizer, option) or what is malformed.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view tokenizer_json);

// A text that is to be joined with text before and after it, cut where no neighbour can change its
// tokens: boundaries after a letter or digit and before a space, where the tokenizer has stable
// cuts; otherwise there are none. Encode(before + head), body and Encode(tail + after) together are
// Encode(before + text + after), provided `before` ends no later than its own last boundary. (Each
// Encode but the first is behind the last token of the one before.)
struct SplitText {
  bool has_boundary = false;  // false: all of the text is in `head`
  std::string head;           // up to the first boundary
  std::vector<TokenId> body;  // between the first and the last boundary, already encoded
  std::string tail;           // from the last boundary on
  size_t tokens = 0;          // of the whole text, read alone
};
// Head and tail are never longer than kMaxHeldBytes: where there is no boundary that early or that
// late, the text is cut at another stable cut if there is one (the tokens are still those of the
// whole), otherwise at a character (a token may then be cut in two).
inline constexpr size_t kMaxHeldBytes = 4096;
// `text`: valid UTF-8.
SplitText SplitAtStableBoundaries(const Tokenizer& tokenizer, std::string_view text);

}  // namespace sinkstream
