// Long random lives of many sessions: whatever clients and disks do in whatever order, no slot is
// ever wrong (the fake model checks each row of each step), no block is lost, and the pool never
// holds more than admission has counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/engine/conversation.h"

namespace sinkstream {
namespace {

class RandomLives : public testing::TestWithParam<unsigned> {
 protected:
  static constexpr int kClients = 12;

  unsigned Below(unsigned bound) { return static_cast<unsigned>(random_()) % bound; }

  void Act(int client) {
    Stream*& stream = streams_[client];
    if (stream == nullptr) return Open(client);
    switch (Below(12)) {
      case 0:
        return stream->Cancel();
      case 1:
        stream->Close();
        ids_[client].clear();
        stream = nullptr;
        return;
      case 2:
        stream->Vanish();
        stream = nullptr;
        return;
      case 3:
        return stream->HalfClose();
      case 4:
        return talk_.model().FailNextStep();
      case 5:
      case 6:
        return stream->Append(std::string(1 + Below(90), 'w') + " " + std::string(Below(9), 'v'));
      case 7:
      case 8:
        return stream->Say("what is it?", Greedy(static_cast<int32_t>(1 + Below(30))));
      default:
        return stream->Feed(std::vector<TokenId>(1 + Below(60), 'x'),
                            Greedy(static_cast<int32_t>(1 + Below(30))));
    }
  }

  void Open(int client) {
    OpenRequest request;
    if (!ids_[client].empty() && Below(2) == 0) {
      request.id = ids_[client];
    } else {
      request.sinks = static_cast<int32_t>(Below(7));
      request.window = 1 + Below(30);
      if (Below(3) == 0) request.system_prompt = Below(2) == 0 ? "be kind" : "be brief and kind";
      request.idle_timeout = absl::Seconds(Below(3) * 20);
    }
    Stream& stream = talk_.OpenStream(request, 6);
    if (!stream.Read().closed) streams_[client] = &stream;
  }

  void WorkOnParking() {
    if (!talk_.park().Works() || Below(3) == 0) return;
    talk_.EndParking(Below(12) == 0 ? absl::DataLossError("a disk fails") : absl::OkStatus());
  }

  void Look(int client) {
    Stream*& stream = streams_[client];
    if (stream == nullptr) return;
    const Heard& heard = stream->Read();
    if (heard.opened) ids_[client] = heard.opened->id;
    for (const auto& failure : heard.failures) {
      ASSERT_THAT(std::string(failure.status.message()),
                  testing::Not(testing::HasSubstr("holds position")));
    }
    if (heard.closed) stream = nullptr;
  }

  // Rambling: what is guessed is often right.
  Conversation talk_{{.next = GetParam() % 2 == 0 ? Rambling : HashOfVisible}, SmallOptions(), 40};
  std::minstd_rand random_{GetParam()};
  Stream* streams_[kClients] = {};
  SessionId ids_[kClients];
};

TEST_P(RandomLives, LeaveNothingBehind) {
  const int64_t block_bytes = talk_.model().Spec().block_bytes;
  bool parked = false;
  for (int turn = 0; turn < 1500; ++turn) {
    Act(static_cast<int>(Below(kClients)));
    talk_.Run(static_cast<int>(Below(4)));
    Look(static_cast<int>(Below(kClients)));
    WorkOnParking();
    parked = parked || talk_.scheduler().Stats().parked_sessions > 0;
    if (Below(20) == 0) talk_.clock().Advance(absl::Seconds(5));
    talk_.scheduler().CloseExpired();
    const auto stats = talk_.scheduler().Stats();
    ASSERT_LE(stats.blocks_used * block_bytes, stats.kv_bytes_reserved);
    ASSERT_LE(stats.kv_bytes_reserved, stats.blocks_total * block_bytes);
  }
  EXPECT_TRUE(parked);
  talk_.EndAllParking();
  talk_.scheduler().Shutdown(absl::UnavailableError("done"));
  EXPECT_EQ(talk_.park().Tickets(), 0);
  EXPECT_EQ(talk_.scheduler().Stats().blocks_used, 0);
  EXPECT_EQ(talk_.scheduler().Stats().kv_bytes_reserved, 0);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLives, testing::Range(1u, 21u));

}  // namespace
}  // namespace sinkstream
