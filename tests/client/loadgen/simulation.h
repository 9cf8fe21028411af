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
        if (until == absl::InfiniteFuture()) Fail();
        now_ = std::max(now_, until);
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

  static void Fail() {
    std::fputs("everybody waits, and nothing is to come\n", stderr);
    std::abort();
  }

  absl::Time now_ = absl::UnixEpoch();
  std::priority_queue<Event> events_;
  int64_t events_made_ = 0;
};

// Opens a session 2 ms after it is asked to, answers a turn 8 ms after it, and ends a stream at
// once where it is closed or dropped.
class SimulatedServer {
 public:
  explicit SimulatedServer(SimulatedClock& clock) : clock_(clock) {}

  // This outlives it and its streams.
  ConnectFunction Connector() {
    return [this](StreamHandlers handlers, bool) {
      return std::make_unique<Stream>(*this, std::move(handlers));
    };
  }

  bool silent = false;  // no turn is answered
  bool fails = false;   // every turn does
  int opens = 0;
  int closes = 0;
  std::vector<absl::Duration> opened_at;  // since the clock began

 private:
  class Stream final : public UserStream {
   public:
    Stream(SimulatedServer& server, StreamHandlers handlers)
        : server_(server), handlers_(std::make_shared<StreamHandlers>(std::move(handlers))) {}
    // What was still to come does not come.
    ~Stream() override { *handlers_ = {}; }

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
    void Read() override {}

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
      server_.clock_.After(wait, [handlers = handlers_, response] {
        if (handlers->on_response) handlers->on_response(response);
      });
    }
    void End(const absl::Status& status) {
      server_.clock_.After(absl::ZeroDuration(), [handlers = handlers_, status] {
        handlers->on_response = nullptr;
        if (const auto on_end = std::exchange(handlers->on_end, nullptr)) on_end(status);
      });
    }

    SimulatedServer& server_;
    const std::shared_ptr<StreamHandlers> handlers_;  // shared with what is to come
  };

  SimulatedClock& clock_;
};

}  // namespace sinkstream::loadgen
