// A conversation with room for two sessions, whose others are parked.
#pragma once

#include <gtest/gtest.h>

#include "tests/engine/conversation.h"

namespace sinkstream {

// In blocks of 4 tokens: a step keeps 6, a session of 4 sinks and a window of 12 takes 5.
inline constexpr int32_t kBlocksForTwo = 6 + 2 * 5;

class ParkingTest : public testing::Test {
 protected:
  explicit ParkingTest(size_t parked_blocks = 100)
      : talk_({.num_blocks = kBlocksForTwo}, SmallOptions(), parked_blocks) {}

  // A stream that has read `count` numbers and said one token.
  Stream& Talked(int count, int salt) {
    Stream& stream = talk_.OpenStream();
    talk_.EndAllParking();
    stream.Feed(Numbers(count, salt), Greedy(1));
    talk_.Run();
    return stream;
  }
  // The same, gone again; its session's id.
  SessionId Left(int count, int salt) {
    Stream& stream = Talked(count, salt);
    const SessionId id = stream.id();
    stream.Vanish();
    talk_.clock().Advance(absl::Seconds(1));
    return id;
  }
  Stream& Return(const SessionId& id) {
    OpenRequest request;
    request.id = id;
    return talk_.OpenStream(request);
  }
  // Where one session besides the two in memory can be parked.
  void TwoChangePlaces() {
    const auto alice = Left(30, 1), bob = Left(30, 2);
    Talked(30, 3);
    for (const auto& [id, salt] : {std::pair{alice, 1}, {bob, 2}, {alice, 0}}) {
      auto& back = Return(id);
      talk_.EndAllParking();
      ASSERT_TRUE(back.Read().opened.has_value()) << *back.Read().closed;
      back.Feed({'?'}, Greedy(5));
      talk_.Run();
      if (salt > 0) EXPECT_EQ(back.Read().tokens, NextReply(30, salt, 5));
      back.Vanish();
      talk_.clock().Advance(absl::Seconds(1));
    }
  }
  // What Talked(count, salt) says next.
  static std::vector<TokenId> NextReply(int count, int salt, int tokens) {
    auto text = Numbers(count, salt);
    text.push_back(ReplyByDefinition(text, 4, 12, 1).front());
    text.push_back('?');
    return ReplyByDefinition(text, 4, 12, tokens);
  }
  static std::vector<TokenId> LastTokens(const Heard& heard, int count) {
    return {heard.tokens.end() - count, heard.tokens.end()};
  }
  int32_t Parked() { return talk_.scheduler().Stats().parked_sessions; }

  Conversation talk_;
};

}  // namespace sinkstream
