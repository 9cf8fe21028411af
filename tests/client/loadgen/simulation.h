// A load in time that only passes where everybody waits: a clock, and a server that answers after a
// while of it. A run of minutes takes none, and is the same each time.
//
// Threads: one, the load's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

#include "client/loadgen/clock.h"
#include "client/loadgen/load_stream.h"

namespace sinkstream::loadgen {

class SimulatedClock final : public Clock {
 public:
  absl::Time Now() const override { return now_; }

  // Goes on to what happens next, or to `until` if that is sooner.
  void Await(absl::Mutex& mutex, const absl::Condition& ready, absl::Time until) override {
    while (!ready.Eval()) {
      if (events_.empty() || events_.top().time > until) {
        now_ = std::max(now_, until);
        if (now_ - absl::UnixEpoch() > kLongest) Fail();
        return;
      }
      const std::function<void()> happen = events_.top().happen;
      now_ = events_.top().time;
      events_.pop();
      mutex.Unlock();
      happen();
      mutex.Lock();
    }
  }

  void After(absl::Duration wait, std::function<void()> happen) {
    events_.push({now_ + wait, events_made_++, std::move(happen)});
  }

 private:
  struct Event {
    absl::Time time;
    int64_t order;  // of equal times
    std::function<void()> happen;
    bool operator<(const Event& other) const {  // the earliest is on top
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  // No load that ends takes so long: a screen's timer alone goes on for ever.
  static constexpr absl::Duration kLongest = absl::Hours(24);

  static void Fail() {
    std::fputs("everybody waits, and nothing is to come\n", stderr);
    std::abort();
  }

  absl::Time now_ = absl::UnixEpoch();
  std::priority_queue<Event> events_;
  int64_t events_made_ = 0;
};

// Opens a session 2 ms after it is asked to, answers a turn 8 ms after it, and ends a stream at
// once where it is closed or dropped: what a stream that is read by hand has not read is lost then.
class SimulatedServer {
 public:
  explicit SimulatedServer(SimulatedClock& clock) : clock_(clock) {}

  // This outlives it and its streams.
  ConnectFunction Connector() {
    return [this](StreamHandlers handlers, bool by_hand) {
      return std::make_unique<Stream>(*this, std::move(handlers), by_hand);
    };
  }

  bool silent = false;  // no turn is answered
  bool fails = false;   // every turn does
  int opens = 0;
  int closes = 0;
  std::vector<absl::Duration> opened_at;  // since the clock began

 private:
  // What comes to a stream, in its order, each when it is asked for.
  class Inbox {
   public:
    explicit Inbox(bool by_hand) : by_hand_(by_hand) {}
    void Put(std::function<void()> hear) {
      waiting_.push(std::move(hear));
      Give();
    }
    void Ask() {
      asked_ = true;
      Give();
    }
    void Clear() { waiting_ = {}; }

   private:
    void Give() {
      while (asked_ && !waiting_.empty()) {
        asked_ = !by_hand_;
        const std::function<void()> hear = std::move(waiting_.front());
        waiting_.pop();
        hear();
      }
    }

    const bool by_hand_;
    bool asked_ = true;
    std::queue<std::function<void()>> waiting_;
  };

  struct Reader {
    StreamHandlers handlers;
    Inbox inbox;
  };

  class Stream final : public UserStream {
   public:
    Stream(SimulatedServer& server, StreamHandlers handlers, bool by_hand)
        : server_(server),
          reader_(std::make_shared<Reader>(Reader{std::move(handlers), Inbox(by_hand)})) {}
    // What was still to come does not come.
    ~Stream() override { reader_->handlers = {}; }

    void Send(v1::ConverseRequest request) override {
      v1::ConverseResponse response;
      if (request.has_open()) {
        ++server_.opens;
        server_.opened_at.push_back(server_.clock_.Now() - absl::UnixEpoch());
        response.mutable_opened()->set_session_id("abc");
        Answer(absl::Milliseconds(2), response);
      } else if (request.has_turn() && !server_.silent) {
        Reply(request.turn());
      } else if (request.has_close()) {
        ++server_.closes;
        End(absl::OkStatus());
      }
    }
    void HalfClose() override {}
    void Drop() override { End(absl::CancelledError("dropped")); }
    void Read() override { reader_->inbox.Ask(); }

   private:
    void Reply(const v1::Turn& turn) {
      constexpr absl::Duration kReply = absl::Milliseconds(8);
      v1::ConverseResponse response;
      if (server_.fails) {
        response.mutable_failed()->set_request_id(turn.request_id());
        response.mutable_failed()->mutable_status()->set_code(grpc::StatusCode::INTERNAL);
        return Answer(kReply, response);
      }
      response.mutable_delta()->set_request_id(turn.request_id());
      for (int i = 0; i < turn.sampling().max_tokens(); ++i) {
        response.mutable_delta()->add_token_ids(65);
      }
      Answer(kReply, response);
      response.mutable_turn_done()->set_request_id(turn.request_id());
      Answer(kReply, response);
    }
    void Answer(absl::Duration wait, const v1::ConverseResponse& response) {
      server_.clock_.After(wait, [reader = reader_, response] {
        if (!reader->handlers.on_response) return;
        reader->inbox.Put(
            [reader = reader.get(), response] { reader->handlers.on_response(response); });
      });
    }
    void End(const absl::Status& status) {
      server_.clock_.After(absl::ZeroDuration(), [reader = reader_, status] {
        reader->handlers.on_response = nullptr;
        reader->inbox.Clear();
        reader->inbox.Put([reader = reader.get(), status] {
          if (const auto end = std::exchange(reader->handlers.on_end, nullptr)) end(status);
        });
      });
    }

    SimulatedServer& server_;
    const std::shared_ptr<Reader> reader_;  // shared with what is to come
  };

  SimulatedClock& clock_;
};

}  // namespace sinkstream::loadgen
