// Detokenizer: turns sampled tokens into text that may be sent, one token at a time. It holds back
// bytes that do not yet end a UTF-8 character and text that may be the beginning of a stop string,
// so that a client never sees half a character or part of a stop string. One per reply, used by one
// thread at a time.
//
// The text is what the `tokenizers` package decodes from all tokens at once, but where a run of
// tokens of the decoder ByteFallback has both whole characters and broken ones: the package then
// gives U+FFFD for the whole characters too, which have been released here.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"
#include "engine/types.h"

namespace sinkstream {

class Detokenizer {
 public:
  // `tokenizer` outlives this. `stop_strings`: each non-empty. `continues`: the tokens go on with a
  // text, so a space that they begin with belongs to it. Otherwise they are a text of their own,
  // and the space that SentencePiece-style tokenizers put before a text is left out, as
  // transformers' decode and its streamers do.
  Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
              bool continues = false);

  // The text that `token` releases, possibly none. Special tokens give no text. After a stop string
  // has matched (Stopped()), nothing more is released.
  std::string Push(TokenId token);

  // What is still held back at the end of a reply; a broken character becomes U+FFFD, as
  // `tokenizers` decodes it. Call once, last. After a stop string has matched it gives nothing.
  std::string Flush();

  // The stop string that ended the text, if one did. Of several that match, the one that is
  // complete first wins, of those complete at the same byte the longest: so the text alone decides,
  // not how tokens divide it. The text before it has been released by the Push that completed it.
  const std::optional<std::string>& Stopped() const { return stopped_; }

 private:
  // `bytes` with U+FFFD for what is broken, as the tokenizer's decoder gives it.
  std::string Replaced(std::string_view bytes) const;
  // Takes whole characters; gives what may be released, all of it if `flush`.
  std::string Release(const std::string& characters, bool flush);
  // Ends the text before the first stop string that is complete in held_ after its first `searched`
  // bytes.
  void FindStop(size_t searched);
  // Bytes at the end of held_ that may begin a stop string.
  size_t HeldBack() const;

  const Tokenizer& tokenizer_;
  const std::vector<std::string> stop_strings_;
  bool begun_;         // a token with text has come
  std::string bytes_;  // not yet whole characters
  std::string held_;   // whole characters that may begin a stop string
  std::optional<std::string> stopped_;
};

}  // namespace sinkstream
