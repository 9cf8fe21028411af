// DistributionBudget: bounds the memory of told distributions (Scores::distributions) that nobody
// has read yet, of all sessions together. Each event takes its part and gives it back when the last
// copy of it has gone, on whatever thread that is and even after this object has.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "engine/model.h"

namespace sinkstream {

// Of one distribution.
inline int64_t DistributionBytes(const ModelSpec& spec) {
  return int64_t{spec.vocab_size} * static_cast<int64_t>(sizeof(float));
}

class DistributionBudget {
 public:
  // `row_bytes`: of one distribution, at most `bytes`. `on_room`: called by any thread, and after
  // this object has gone, where a row fits again that did not.
  DistributionBudget(int64_t bytes, int64_t row_bytes, std::function<void()> on_room);

  // Rows that fit. Grows by other threads' doing, shrinks by Take alone.
  int64_t RowsLeft() const;
  int64_t TakenBytes() const { return (rows_ - RowsLeft()) * row_bytes_; }
  // Engine thread. Requires: rows <= RowsLeft(). Taken until the last copy of the result has gone.
  std::shared_ptr<const void> Take(int64_t rows);

 private:
  struct Room {
    std::atomic<int64_t> rows;
    const std::function<void()> on_room;
  };
  const int64_t row_bytes_;
  const int64_t rows_;  // in all
  const std::shared_ptr<Room> room_;
};

}  // namespace sinkstream
