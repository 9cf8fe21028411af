// A tokenizer whose token ids are bytes (0 to 255) and three special tokens, and a chat format over
// it: tests read as text.
//   [S] 256 begins a turn, [E] 257 ends it, [B] 258 begins a conversation.
// "hi" in the user's role is fed as  [S] "u:hi" [E] [S] "a:"  and a reply is closed by  [E] "\n".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/text/chat_format.h"
#include "engine/text/tokenizer.h"

namespace sinkstream {

inline constexpr TokenId kTurnToken = 256;
inline constexpr TokenId kEndToken = 257;
inline constexpr TokenId kBeginToken = 258;
inline constexpr int32_t kFakeVocabSize = 259;

class FakeTokenizer final : public Tokenizer {
 public:
  FakeTokenizer() {
    for (int byte = 0; byte < 256; ++byte) bytes_ += static_cast<char>(byte);
  }
  using Tokenizer::Encode;
  std::vector<TokenId> Encode(std::string_view text, TokenId) const override {
    std::vector<TokenId> tokens;
    for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
    return tokens;
  }
  std::string_view TokenBytes(TokenId token) const override {
    return IsSpecial(token) ? std::string_view() : std::string_view(bytes_).substr(token, 1);
  }
  bool IsSpecial(TokenId token) const override { return token >= kTurnToken; }
  int32_t VocabSize() const override { return kFakeVocabSize; }

 private:
  std::string bytes_;
};

inline ChatFormat FakeChatFormat() {
  ChatFormat format;
  format.name = "fake";
  format.begin = {kBeginToken};
  format.system = ChatRole{{kTurnToken, "s:"}, {kEndToken}};
  format.user = {{kTurnToken, "u:"}, {kEndToken}};
  format.assistant = {{kTurnToken, "a:"}, {kEndToken, "\n"}};
  format.stop_tokens = {kEndToken};
  return format;
}

// The same, but a system text is the beginning of the first user turn, as LLaMA 2 has it:
// "be kind" and then "hi" are fed as  [B] [S] "u:be kind|hi" [E] [S] "a:"
inline ChatFormat FoldedChatFormat() {
  ChatFormat format = FakeChatFormat();
  format.system = ChatRole{{kTurnToken, "u:"}, {"|"}};
  format.user_after_system = ChatRole{{}, format.user.suffix};
  return format;
}

// Tokens as text, special ones as [S], [E], [B]: what a test compares.
inline std::string Spell(const std::vector<TokenId>& tokens) {
  std::string text;
  for (const TokenId token : tokens) {
    if (token < 256) {
      text += static_cast<char>(token);
    } else {
      text += token == kTurnToken ? "[S]" : token == kEndToken ? "[E]" : "[B]";
    }
  }
  return text;
}

}  // namespace sinkstream
