#include "server/stream/stream_state.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "server/stream/wake_queue.h"

namespace sinkstream {
namespace {

Event OpenedEvent() { return Opened{}; }
Event Piece(const std::string& text) {
  Delta delta;
  delta.request_id = 1;
  delta.text = text;
  return delta;
}
Event Failure(uint64_t id) { return RequestFailed{id, absl::InvalidArgumentError("no")}; }

// What a step asks for, in words: "read write:<event> finish:<CODE>".
std::string Say(const Event& event) {
  if (std::holds_alternative<Opened>(event)) return "opened";
  if (const auto* delta = std::get_if<Delta>(&event)) return "delta(" + delta->text + ")";
  if (const auto* failed = std::get_if<RequestFailed>(&event)) {
    return "failed(" + std::to_string(failed->request_id) + ")";
  }
  return "other";
}

std::string Say(const StreamState::Step& step) {
  std::string said;
  if (step.read) said += "read ";
  if (step.write.has_value()) said += "write:" + Say(*step.write) + " ";
  if (step.finish.has_value()) said += "finish:" + absl::StatusCodeToString(step.finish->code());
  while (!said.empty() && said.back() == ' ') said.pop_back();
  return said.empty() ? "nothing" : said;
}

class StreamStateTest : public testing::Test {
 protected:
  // As EventStream does on the engine thread, but for the other thread.
  void OnReady() { wakes_ += state_.Ready() ? 1 : 0; }
  std::string Woken() {
    EXPECT_EQ(wakes_, 1);
    wakes_ = 0;
    return Say(state_.Woken());
  }
  void OpenAndWrite() {
    outbox_->Push(OpenedEvent());
    EXPECT_EQ(Woken(), "write:opened");
    EXPECT_EQ(Say(state_.WriteDone(true)), "nothing");
  }

  int wakes_ = 0;
  std::shared_ptr<Outbox> outbox_ = std::make_shared<Outbox>(64, [this] { OnReady(); });
  StreamState state_{outbox_};
};

TEST_F(StreamStateTest, WritesWhatTheOutboxHoldsOneAtATime) {
  outbox_->Push(OpenedEvent());
  outbox_->Push(Failure(1));
  EXPECT_EQ(Woken(), "write:opened");
  EXPECT_EQ(Say(state_.WriteDone(true)), "write:failed(1)");
  EXPECT_EQ(Say(state_.WriteDone(true)), "nothing");
}

TEST_F(StreamStateTest, JoinsDeltasThatGatherDuringAWrite) {
  OpenAndWrite();
  outbox_->Push(Piece("a"));
  EXPECT_EQ(Woken(), "write:delta(a)");
  outbox_->Push(Piece("b"));
  outbox_->Push(Piece("c"));
  EXPECT_EQ(wakes_, 0) << "the stream is writing: it will look by itself";
  EXPECT_EQ(Say(state_.WriteDone(true)), "write:delta(bc)");
}

TEST_F(StreamStateTest, OwnAnswersWaitForOpened) {
  EXPECT_EQ(Say(state_.ReadDone(std::nullopt)), "read");
  EXPECT_EQ(Say(state_.ReadDone(Failure(7))), "read");
  outbox_->Push(OpenedEvent());
  EXPECT_EQ(Woken(), "write:opened");
  EXPECT_EQ(Say(state_.WriteDone(true)), "write:failed(7)");
}

TEST_F(StreamStateTest, AnswersAtOnceWhenNothingIsWritten) {
  OpenAndWrite();
  EXPECT_EQ(Say(state_.ReadDone(Failure(7))), "read write:failed(7)");
}

TEST_F(StreamStateTest, FinishesWhenTheOutboxIsClosedAndEmpty) {
  OpenAndWrite();
  outbox_->Push(Piece("a"));
  outbox_->Close(absl::AbortedError("taken over"));
  EXPECT_EQ(Woken(), "write:delta(a)");
  EXPECT_EQ(Say(state_.WriteDone(true)), "finish:ABORTED");
}

TEST_F(StreamStateTest, FinishesOnce) {
  OpenAndWrite();
  EXPECT_EQ(Say(state_.End(absl::InvalidArgumentError("bad"))), "finish:INVALID_ARGUMENT");
  EXPECT_EQ(Say(state_.End(absl::CancelledError("gone"))), "nothing");
  EXPECT_EQ(Say(state_.ReadDone(Failure(1))), "nothing");
  outbox_->Push(Piece("a"));
  EXPECT_EQ(wakes_, 0);
}

TEST_F(StreamStateTest, AnEndWaitsForTheWriteInFlightAndDropsTheRest) {
  OpenAndWrite();
  outbox_->Push(Piece("a"));
  outbox_->Push(Failure(2));
  EXPECT_EQ(Woken(), "write:delta(a)");
  EXPECT_EQ(Say(state_.End(absl::CancelledError("gone"))), "nothing");
  EXPECT_EQ(Say(state_.WriteDone(false)), "finish:CANCELLED");
}

TEST_F(StreamStateTest, AnEndWaitsForAPendingWake) {
  OpenAndWrite();
  outbox_->Push(Piece("a"));
  EXPECT_EQ(wakes_, 1);
  EXPECT_EQ(Say(state_.End(absl::CancelledError("gone"))), "nothing");
  EXPECT_EQ(Woken(), "finish:CANCELLED");
}

TEST_F(StreamStateTest, AFailedWriteEndsIt) {
  outbox_->Push(OpenedEvent());
  EXPECT_EQ(Woken(), "write:opened");
  EXPECT_EQ(Say(state_.WriteDone(false)), "finish:CANCELLED");
}

TEST_F(StreamStateTest, AWriteThatDidNotStartEndsIt) {
  outbox_->Push(OpenedEvent());
  EXPECT_EQ(Woken(), "write:opened");
  EXPECT_EQ(Say(state_.WriteNotStarted(absl::InternalError("no bytes"))), "finish:INTERNAL");
}

TEST_F(StreamStateTest, AWriteThatDidNotStartWaitsForAPendingWake) {
  OpenAndWrite();
  EXPECT_EQ(Say(state_.ReadDone(Failure(7))), "read write:failed(7)");
  outbox_->Push(Piece("a"));
  EXPECT_EQ(Say(state_.WriteNotStarted(absl::InternalError("no bytes"))), "nothing");
  EXPECT_EQ(Woken(), "finish:INTERNAL");
}

TEST_F(StreamStateTest, EndAfterWritingWritesWhatWaits) {
  OpenAndWrite();
  outbox_->Push(Piece("a"));
  EXPECT_EQ(Woken(), "write:delta(a)");
  outbox_->Push(Failure(2));
  EXPECT_EQ(Say(state_.EndAfterWriting(absl::UnavailableError("draining"))), "nothing");
  EXPECT_EQ(Say(state_.WriteDone(true)), "write:failed(2)");
  EXPECT_EQ(Say(state_.WriteDone(true)), "finish:UNAVAILABLE");
}

TEST_F(StreamStateTest, EndAfterWritingKeepsTheEnginesOwnEnd) {
  OpenAndWrite();
  outbox_->Close(absl::OkStatus());
  EXPECT_EQ(Say(state_.EndAfterWriting(absl::UnavailableError("draining"))), "nothing");
  EXPECT_EQ(Woken(), "finish:OK");
}

TEST_F(StreamStateTest, StopsReadingAClientThatAsksAndDoesNotRead) {
  OpenAndWrite();
  EXPECT_EQ(Say(state_.ReadDone(Failure(0))), "read write:failed(0)");
  for (int i = 2; i < StreamState::kMaxUnansweredReads; ++i) {
    ASSERT_EQ(Say(state_.ReadDone(Failure(1))), "read") << i;
  }
  EXPECT_EQ(Say(state_.ReadDone(Failure(2))), "nothing");
  for (int i = 1; i < StreamState::kMaxUnansweredReads; ++i) {
    ASSERT_NE(Say(state_.WriteDone(true)), "nothing") << i;
  }
  EXPECT_EQ(Say(state_.WriteDone(true)), "read") << "everything is written";
}

TEST_F(StreamStateTest, ReadsForEverWhereNothingWaits) {
  OpenAndWrite();
  for (int i = 0; i < 3 * StreamState::kMaxUnansweredReads; ++i) {
    ASSERT_EQ(Say(state_.ReadDone(std::nullopt)), "read") << i;
  }
}

TEST_F(StreamStateTest, AttachesOnlyWhileItLives) {
  EXPECT_FALSE(state_.Attachment().has_value());
  EXPECT_TRUE(state_.Attach(5));
  EXPECT_EQ(state_.Attachment(), 5u);
}

TEST_F(StreamStateTest, DoesNotAttachAfterItsEnd) {
  EXPECT_EQ(Say(state_.End(absl::CancelledError("gone"))), "finish:CANCELLED");
  EXPECT_FALSE(state_.Attach(5));
}

// A stream without gRPC: writes end at once on a thread of their own, as gRPC's do.
class ThreadedStream : public Wakeable {
 public:
  explicit ThreadedStream(WakeQueue& wakes)
      : outbox_(std::make_shared<Outbox>(4,
                                         [this, &wakes] {
                                           if (state_.Ready()) wakes.Post(this);
                                         })),
        state_(outbox_) {}

  Outbox& outbox() { return *outbox_; }
  void OnWake() override { Perform(state_.Woken()); }
  void Read(int count) {
    for (int i = 0; i < count; ++i) Perform(state_.ReadDone(Failure(1)));
  }
  void WriteUntilFinished() {
    while (true) {
      write_started_.wait(false);
      write_started_ = false;
      if (finishes_ > 0) return;
      Perform(state_.WriteDone(true));
    }
  }
  void End() { Perform(state_.End(absl::CancelledError("gone"))); }
  void EndAfterWriting() { Perform(state_.EndAfterWriting(absl::UnavailableError("draining"))); }
  int finishes() const { return finishes_; }
  int refusals() const { return refusals_; }
  int pieces() const { return pieces_; }

 private:
  void Perform(StreamState::Step step) {
    if (step.write.has_value()) {
      refusals_ += std::holds_alternative<RequestFailed>(*step.write) ? 1 : 0;
      if (const auto* delta = std::get_if<Delta>(&*step.write)) {
        pieces_ += static_cast<int>(delta->text.size());
      }
    }
    if (step.finish.has_value()) ++finishes_;
    if (step.write.has_value() || step.finish.has_value()) {
      write_started_ = true;
      write_started_.notify_one();
    }
  }

  std::shared_ptr<Outbox> outbox_;
  StreamState state_;
  std::atomic<bool> write_started_{false};
  std::atomic<int> finishes_{0}, refusals_{0}, pieces_{0};
};

TEST(StreamStateThreads, LosesNothingBetweenEngineReaderWriterAndWaker) {
  constexpr int kPieces = 2000;
  constexpr int kReads = 500;
  WakeQueue wakes;
  ThreadedStream stream(wakes);
  std::thread writer([&] { stream.WriteUntilFinished(); });
  std::thread reader([&] { stream.Read(kReads); });
  stream.outbox().Push(OpenedEvent());
  for (int i = 0; i < kPieces; ++i) stream.outbox().Push(Piece("x"));
  reader.join();
  stream.outbox().Close(absl::OkStatus());
  writer.join();
  EXPECT_EQ(stream.finishes(), 1);
  EXPECT_EQ(stream.pieces(), kPieces);
  EXPECT_EQ(stream.refusals(), kReads);
}

TEST(StreamStateThreads, EndsOnceWhateverEndsItFirst) {
  constexpr int kStreams = 200;
  WakeQueue wakes;
  for (int i = 0; i < kStreams; ++i) {
    ThreadedStream stream(wakes);
    std::thread engine([&] {
      stream.outbox().Push(OpenedEvent());
      for (int piece = 0; piece < 20; ++piece) stream.outbox().Push(Piece("x"));
      stream.outbox().Close(absl::OkStatus());
    });
    std::thread writer([&] { stream.WriteUntilFinished(); });
    std::thread reader([&] { stream.Read(5); });
    std::thread canceller([&] { stream.End(); });
    std::thread drain([&] { stream.EndAfterWriting(); });
    writer.join();
    stream.outbox().Detach();  // as OnDone does, while the engine may still push
    for (std::thread* thread : {&engine, &reader, &canceller, &drain}) thread->join();
    EXPECT_EQ(stream.finishes(), 1);
  }
}

TEST(StreamStateThreads, EndsAfterWritingWhileTheEnginePushesOn) {
  constexpr int kStreams = 200;
  WakeQueue wakes;
  for (int i = 0; i < kStreams; ++i) {
    ThreadedStream stream(wakes);
    stream.outbox().Push(OpenedEvent());
    std::thread engine([&] {
      for (int piece = 0; piece < 20; ++piece) stream.outbox().Push(Piece("x"));
    });
    std::thread writer([&] { stream.WriteUntilFinished(); });
    std::thread drain([&] { stream.EndAfterWriting(); });
    writer.join();
    stream.outbox().Detach();
    engine.join();
    drain.join();
    EXPECT_EQ(stream.finishes(), 1);
    EXPECT_LE(stream.pieces(), 20);
  }
}

}  // namespace
}  // namespace sinkstream
