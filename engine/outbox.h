// Outbox: the one object that the engine thread and a stream share. The engine pushes a session's
// events, the stream takes them in order. Bounded: a full outbox pauses that session's decoding,
// nobody else's. Knows neither gRPC nor torch, so ThreadSanitizer covers this hand-over
// (tests/engine/outbox_test.cc).
//
// Two owners, hence a shared_ptr: the stream may end before the engine has noticed, and the engine
// may finish while the stream still writes. States: open -> closed (by the engine, with a status) ;
// open|closed -> detached (stream gone).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "engine/sync.h"
#include "engine/types.h"

namespace sinkstream {

class Outbox {
 public:
  // Scores can be big: so much of them fills an outbox too. A step's may go beyond it.
  static constexpr size_t kManyBytes = size_t{4} << 20;

  // `capacity`: events held before HasRoom() turns false, >= 1. A step may go beyond it, by an
  // event for each token. `on_ready`: called on the engine thread when a waiting stream has
  // something to take: an event or the end. Must not block; of this outbox it may call TakeAll
  // alone. Never called after Detach() has returned. `waiting_in_all`: events in this and other
  // outboxes, which it keeps; outlives this.
  Outbox(size_t capacity, std::function<void()> on_ready,
         std::atomic<int64_t>* waiting_in_all = nullptr);
  ~Outbox();

  // Any thread; once, before the engine thread has this. `on_room`: called on the stream's thread
  // when a full outbox has room again.
  void SetOnRoom(std::function<void()> on_room);

  // ---- engine thread ----
  // False while `capacity` events or more wait, or kManyBytes in scores. Then the session's
  // requests pause; what answers or refuses a request is pushed all the same, a few events for
  // each, so whoever sends requests bounds these (Engine).
  bool HasRoom() const;
  // Never blocks. Dropped after Close() or Detach().
  void Push(Event event);
  // As Push, of an event that another Push follows at once: a waiting stream is not woken before
  // that, and takes both together.
  void PushAhead(Event event);
  // The last thing a stream is told: OK ends it well. Events pushed before are still delivered. The
  // first call counts.
  void Close(absl::Status status);

  // ---- stream's threads ----
  struct Batch {
    std::vector<Event> events;
    std::optional<absl::Status> closed;  // set once nothing more will come
    bool was_full = false;               // the reader was behind, and its requests paused
  };
  // Everything that waits. If that is nothing, the outbox will call on_ready when there is
  // something.
  Batch TakeAll();
  // The stream is gone: drops what waits and what comes. Idempotent.
  void Detach();

 private:
  // False if it is dropped.
  bool Add(Event event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake();
  void Count(int64_t events) {
    if (waiting_in_all_ != nullptr) waiting_in_all_->fetch_add(events, std::memory_order_relaxed);
  }
  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return events_.size() >= capacity_ || bytes_ >= kManyBytes;
  }

  const size_t capacity_;
  std::atomic<int64_t>* const waiting_in_all_;
  // Held while on_ready runs, so that Detach() can wait for it. Taken before mutex_, never after
  // it.
  Mutex notify_mutex_;
  std::function<void()> on_ready_ ABSL_GUARDED_BY(notify_mutex_);

  mutable Mutex mutex_;
  std::function<void()> on_room_ ABSL_GUARDED_BY(mutex_);
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of the scores among them
  std::optional<absl::Status> closed_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = true;  // the stream found nothing at its last TakeAll
  bool detached_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace sinkstream
