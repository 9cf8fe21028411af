// ChatFormat: what stands before and after each role's text, compiled at export from the model's
// Jinja template (docs/model_artifact.md). No template engine in serving. Immutable; any thread.
//
// A turn is prefix + text + suffix; the text parts of one call that touch are joined before they
// are encoded, as a template rendered whole would be. Special tokens appear as ids, so text cannot
// forge them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/text/tokenizer.h"
#include "engine/types.h"

namespace sinkstream {

using ChatPart = std::variant<TokenId, std::string>;  // a special token, or text

struct ChatRole {
  std::vector<ChatPart> prefix;
  std::vector<ChatPart> suffix;
};

struct ChatFormat {
  std::string name;             // "chatml", ... or "plain": no roles, text as it is
  std::vector<ChatPart> begin;  // before the first turn of a conversation
  ChatRole system;
  ChatRole user;
  ChatRole assistant;  // prefix: what asks for a reply; suffix: what ends it
  // What the template says when the conversation has no system turn.
  std::optional<std::string> default_system;
  bool trim = false;                 // the template strips white space around each text
  std::vector<TokenId> stop_tokens;  // a reply ends with any of these

  // begin + the system turn (`system`, or the default one if absent; nothing if there is neither).
  std::vector<TokenId> EncodeBegin(const Tokenizer& tokenizer,
                                   const std::optional<std::string>& system_text) const;

  // A user turn and the assistant's prefix: what is fed to get a reply.
  std::vector<TokenId> EncodeUserTurn(const Tokenizer& tokenizer, std::string_view text) const;

  // What follows the last sampled token of a reply, so that the turn is closed in the cache: the
  // assistant's suffix, less its first token if `last` is that token already (the model ended its
  // own turn).
  std::vector<TokenId> EncodeEndOfReply(const Tokenizer& tokenizer,
                                        std::optional<TokenId> last) const;
};

// Parses chat_format.json. INVALID_ARGUMENT says what is malformed or out of `vocab_size`.
absl::StatusOr<ChatFormat> ParseChatFormat(std::string_view json, int32_t vocab_size);

}  // namespace sinkstream
