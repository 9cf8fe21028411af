// Where a text may be cut so that its parts are encoded as they are in the whole. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"

namespace sinkstream {

// True if a letter is before `at` and no letter behind it, or a number (\p{N}) and no number.
// Requires: valid UTF-8, a character begins at `at`, 0 < at < text.size().
bool EndsWord(std::string_view text, size_t at);

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
