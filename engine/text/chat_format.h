// ChatFormat: what stands before and after each role's text, compiled at export from the model's
// Jinja template (docs/model_artifact.md). No template engine in serving. Immutable; any thread.
//
// A turn is prefix + text + suffix; the text parts of one call that touch are joined before they
// are encoded, as a template rendered whole would be. Special tokens appear as ids, so text cannot
// forge them. What a user turn begins with may depend on where it stands (TurnPlace): a system text
// that is folded into the first user turn (LLaMA 2, Mistral) is fed when the session opens.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

using ChatPart = std::variant<TokenId, std::string>;  // a special token, or text

struct Trim {  // the template strips white space, as Python's str.strip does
  bool start = false;
  bool end = false;
};

struct ChatRole {
  std::vector<ChatPart> prefix;
  std::vector<ChatPart> suffix;
  Trim trim = {};
};

enum class TurnPlace {
  kFirst,        // opens the conversation, without a system turn
  kAfterSystem,  // no reply since the system turn
  kLater,        // after a reply, or after text that was fed as it is
};

// A user turn at each place; absent where it does not differ from `later`.
struct UserTurn {
  std::vector<TokenId> later;
  std::optional<std::vector<TokenId>> first;
  std::optional<std::vector<TokenId>> after_system;

  const std::vector<TokenId>& At(TurnPlace place) const;
};

struct ChatFormat {
  std::string name;             // "chatml", ... or "plain": no roles, text as it is
  std::vector<ChatPart> begin;  // before the first turn of a conversation
  // `begin` is what the tokenizer itself puts in front of a text: it encodes the text as if nothing
  // stood before it.
  bool begin_is_tokenizers = false;
  std::optional<ChatRole> system;  // absent: the model knows no system turn
  ChatRole user;
  std::optional<ChatRole> user_after_system;  // the user's role at kAfterSystem, if it differs
  ChatRole assistant;  // prefix: what asks for a reply; suffix: what ends it; trim: unused
  // What the template says when the conversation has no system turn.
  std::optional<std::string> default_system;
  std::vector<TokenId> stop_tokens;  // a reply ends with any of these

  // begin + the system turn (`system`, or the default one if absent; nothing if there is neither,
  // or if the format has none).
  std::vector<TokenId> EncodeBegin(const Tokenizer& tokenizer,
                                   const std::optional<std::string>& system_text) const;

  // Where a user turn stands that opens a conversation without a system text of its own.
  TurnPlace PlaceOfFirst() const;

  // A user turn and the assistant's prefix: what is fed to get a reply.
  UserTurn EncodeUserTurn(const Tokenizer& tokenizer, std::string_view text) const;

  // What closes a turn in the cache behind `before`, its tokens so far: the assistant's suffix,
  // less what stands there already from its first special token on (the model ended its own turn,
  // or a user turn was cut behind its end).
  std::vector<TokenId> EncodeEndOfReply(const Tokenizer& tokenizer,
                                        absl::Span<const TokenId> before) const;
};

}  // namespace sinkstream
