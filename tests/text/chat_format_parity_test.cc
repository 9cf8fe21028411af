// A conversation as the server feeds it, turn by turn, against what transformers makes of the whole
// (make_chat_vectors.py): token id for token id, for each format by name.
#include <fstream>

#include "engine/text/chat_format.h"
#include "engine/text/chat_format_json.h"
#include "engine/text/tokenizer_json.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sinkstream {
namespace {

using nlohmann::json;

void Append(std::vector<TokenId>& tokens, const std::vector<TokenId>& more) {
  tokens.insert(tokens.end(), more.begin(), more.end());
}

void ExpectFedAsTransformersDoes(const json& conversation) {
  const auto tokenizer = ParseTokenizer(conversation["tokenizer"].get<std::string>());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto format =
      ParseChatFormat(conversation["chat_format"].get<std::string>(), (*tokenizer)->VocabSize());
  ASSERT_TRUE(format.ok()) << format.status();
  std::optional<std::string> system;
  if (!conversation["system"].is_null()) system = conversation["system"].get<std::string>();

  std::vector<TokenId> fed = format->EncodeBegin(**tokenizer, system);
  TurnPlace place = system ? TurnPlace::kAfterSystem : format->PlaceOfFirst();
  for (const json& exchange : conversation["exchanges"]) {
    const auto user = exchange["user"].get<std::string>();
    Append(fed, format->EncodeUserTurn(**tokenizer, user).At(place));
    ASSERT_EQ(fed, exchange["prompt"].get<std::vector<TokenId>>()) << user;
    Append(fed, exchange["reply"].get<std::vector<TokenId>>());
    Append(fed, format->EncodeEndOfReply(**tokenizer, fed));
    place = TurnPlace::kLater;
  }
}

TEST(ChatFormatParity, EveryTurnIsFedAsTheWholeConversationWouldBe) {
  std::ifstream file(SINKSTREAM_CHAT_VECTORS);
  const json conversations = json::parse(file);
  ASSERT_GE(conversations.size(), 100u);
  for (const json& conversation : conversations) {
    SCOPED_TRACE(conversation["name"].get<std::string>() + " " + conversation["system"].dump());
    ExpectFedAsTransformersDoes(conversation);
  }
}

}  // namespace
}  // namespace sinkstream
