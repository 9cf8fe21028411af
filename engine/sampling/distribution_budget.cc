#include "engine/sampling/distribution_budget.h"

#include <utility>

namespace sinkstream {

DistributionBudget::DistributionBudget(int64_t bytes, int64_t row_bytes,
                                       std::function<void()> on_room)
    : row_bytes_(row_bytes),
      rows_(bytes / row_bytes),
      room_(new Room{{rows_}, std::move(on_room)}) {}

int64_t DistributionBudget::RowsLeft() const { return room_->rows; }

std::shared_ptr<const void> DistributionBudget::Take(int64_t rows) {
  room_->rows -= rows;
  return {room_.get(), [room = room_, rows](const void*) {
            // Only where none was left can a session have paused for want of one.
            if (room->rows.fetch_add(rows) == 0) room->on_room();
          }};
}

}  // namespace sinkstream
