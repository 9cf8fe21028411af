#include "engine/outbox.h"

#include <utility>

namespace sinkstream {
namespace {

size_t ScoreBytes(const Event& event) {
  const auto* const scores = std::get_if<Scores>(&event);
  if (scores == nullptr) return 0;
  size_t bytes = 0;
  for (const auto& logprob : scores->logprobs) {
    bytes += sizeof(logprob) + logprob.top.size() * sizeof(TokenLogprob);
  }
  for (const auto& row : scores->distributions) bytes += row.size() * sizeof(float);
  return bytes;
}

}  // namespace

Outbox::Outbox(size_t capacity, std::function<void()> on_ready,
               std::atomic<int64_t>* waiting_in_all)
    : capacity_(capacity), waiting_in_all_(waiting_in_all), on_ready_(std::move(on_ready)) {}

Outbox::~Outbox() { Detach(); }

void Outbox::SetOnRoom(std::function<void()> on_room) {
  MutexLock lock(mutex_);
  on_room_ = std::move(on_room);
}

bool Outbox::HasRoom() const {
  MutexLock lock(mutex_);
  return !Full();
}

void Outbox::Push(Event event) {
  {
    MutexLock lock(mutex_);
    if (!Add(std::move(event)) || !std::exchange(waiting_, false)) return;
  }
  Wake();
}

void Outbox::PushAhead(Event event) {
  MutexLock lock(mutex_);
  Add(std::move(event));
}

bool Outbox::Add(Event event) {
  if (detached_ || closed_) return false;
  bytes_ += ScoreBytes(event);
  events_.push_back(std::move(event));
  Count(1);
  return true;
}

void Outbox::Close(absl::Status status) {
  {
    MutexLock lock(mutex_);
    if (detached_ || closed_) return;
    closed_ = std::move(status);
    if (!std::exchange(waiting_, false)) return;
  }
  Wake();
}

void Outbox::Wake() {
  MutexLock lock(notify_mutex_);
  if (on_ready_) on_ready_();
}

Outbox::Batch Outbox::TakeAll() {
  Batch batch;
  std::function<void()> on_room;
  {
    MutexLock lock(mutex_);
    batch.was_full = Full();
    if (batch.was_full) on_room = on_room_;
    Count(-static_cast<int64_t>(events_.size()));
    batch.events.assign(std::make_move_iterator(events_.begin()),
                        std::make_move_iterator(events_.end()));
    events_.clear();  // keeps its memory: pushing takes none
    bytes_ = 0;
    batch.closed = closed_;
    waiting_ = batch.events.empty() && !closed_;
  }
  if (on_room) on_room();
  return batch;
}

void Outbox::Detach() {
  std::vector<Event> dropped;  // outside the lock: what they give back may wake somebody
  {
    MutexLock lock(mutex_);
    detached_ = true;
    Count(-static_cast<int64_t>(events_.size()));
    dropped.swap(events_);
    bytes_ = 0;
    on_room_ = nullptr;
  }
  dropped.clear();
  MutexLock lock(notify_mutex_);
  on_ready_ = nullptr;
}

}  // namespace sinkstream
