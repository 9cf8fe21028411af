// Tokenizer: text to token ids and token ids to bytes, for byte-level BPE in Hugging Face's
// tokenizer.json form. Held to the `tokenizers` package (0.23, add_special_tokens=False) id for id.
// Immutable after construction; every method may be called by any thread.
//
// Supported of a tokenizer.json: model BPE without dropout, byte_fallback and affixes; normalizer
// null; the pre-tokenizers of pre_tokenizer.h; decoder ByteLevel; added tokens that are special.
// post_processor, truncation and padding are not read: they concern templates and batches.
//
// Bytes that the vocabulary lacks are dropped, as the package drops them: of SmolLM2's these are
// some control characters and the first bytes of U+40000 to U+BFFFF (planes without characters).
//
// Text never becomes a special token: "<|im_end|>" typed by a user is encoded as ordinary text, so
// that nobody forges a turn boundary. The chat format names special tokens by id (chat_format.h).
#pragma once

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

  // Ids of `text`, which must be valid UTF-8 (the caller has checked); nothing is added before or
  // after it.
  virtual std::vector<TokenId> Encode(std::string_view text) const = 0;

  // The same of a text that stands behind the token `previous`, or begins a conversation
  // (kNoToken): a tokenizer may put a space in front of a text, unless it goes on behind an
  // ordinary token.
  virtual std::vector<TokenId> Encode(std::string_view text, TokenId /*previous*/) const {
    return Encode(text);
  }

  // True if white space at the end of a text is dropped before the special token `token`.
  virtual bool TakesSpaceBefore(TokenId /*token*/) const { return false; }

  // The bytes a token stands for: possibly part of a character. Empty for special tokens, and for
  // ids that the tokenizer does not know: a model's vocabulary may be padded. `token` >= 0.
  virtual std::string_view TokenBytes(TokenId token) const = 0;

  // True for special (control) tokens: they have a name, but no text that a client should see.
  // False for ids that the tokenizer does not know. `token` >= 0.
  virtual bool IsSpecial(TokenId token) const = 0;

  // The largest id that it knows, plus one.
  virtual int32_t VocabSize() const = 0;

  // True if tokens never reach across the end of a word (a letter before no letter, a number before
  // no number) and what is on one side of it does not change the tokens of the other side.
  // SplitAtStableBoundaries relies on it.
  virtual bool WordsEndTokens() const { return true; }
};

// Parses the text of a tokenizer.json. INVALID_ARGUMENT names the component that is not supported
// (model type, normalizer, pre-tokenizer, option) or what is malformed.
absl::StatusOr<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view tokenizer_json);

// A text that is to be joined with text before and after it, cut where no neighbour can change its
// tokens: boundaries after a letter or digit and before a space, if the tokenizer's WordsEndTokens;
// otherwise there are none. Encode(before + head), body and Encode(tail + after) together are
// Encode(before + text + after), provided `before` ends no later than its own last boundary.
struct SplitText {
  bool has_boundary = false;  // false: all of the text is in `head`
  std::string head;           // up to the first boundary
  std::vector<TokenId> body;  // between the first and the last boundary, already encoded
  std::string tail;           // from the last boundary on
  size_t tokens = 0;          // of the whole text, read alone
};
// Head and tail are never longer than kMaxHeldBytes: where there is no boundary that early or that
// late, the text is cut at the end of a word if there is one (WordsEndTokens: the tokens are still
// those of the whole), otherwise at a character (a token may then be cut in two).
inline constexpr size_t kMaxHeldBytes = 4096;
// `text`: valid UTF-8.
SplitText SplitAtStableBoundaries(const Tokenizer& tokenizer, std::string_view text);

}  // namespace sinkstream
