// FakePark: a BlockPark in memory whose work ends when a test says so. One thread.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "engine/kv/block_park.h"

namespace sinkstream {

class FakePark final : public BlockPark {
 public:
  explicit FakePark(Model& model, size_t capacity = 1000) : model_(model), capacity_(capacity) {}

  void KeepToTickets(size_t most) { most_tickets_ = most; }
  bool HasRoom(size_t tickets, size_t blocks) const override {
    return Blocks() + blocks <= capacity_ && Tickets() + tickets <= most_tickets_;
  }
  ParkTicket Save(std::vector<BlockId> blocks) override {
    copies_[++last_].resize(blocks.size());
    begun_.push_back({last_, std::move(blocks), true});
    return last_;
  }
  void Load(ParkTicket ticket, std::vector<BlockId> blocks) override {
    EXPECT_FALSE(Begun(ticket));
    EXPECT_EQ(blocks.size(), copies_.at(ticket).size());
    begun_.push_back({ticket, std::move(blocks), false});
  }
  void Drop(ParkTicket ticket) override {
    EXPECT_FALSE(Begun(ticket));
    EXPECT_EQ(copies_.erase(ticket), 1);
  }

  // Ends the oldest work; `status`: how. Its outcome is for the scheduler.
  Outcome End(absl::Status status = absl::OkStatus()) {
    const Work work = std::move(begun_.front());
    begun_.pop_front();
    for (size_t i = 0; i < work.blocks.size() && status.ok(); ++i) {
      auto& copy = copies_.at(work.ticket).at(i);
      copy.resize(static_cast<size_t>(model_.Spec().block_bytes));
      work.saves ? model_.CopyOut(work.blocks[i], copy.data())
                 : model_.CopyIn(work.blocks[i], copy.data());
    }
    return {work.ticket, std::move(status)};
  }
  bool Works() const { return !begun_.empty(); }
  size_t Tickets() const { return copies_.size(); }

 private:
  struct Work {
    ParkTicket ticket;
    std::vector<BlockId> blocks;
    bool saves;
  };

  bool Begun(ParkTicket ticket) const {
    for (const Work& work : begun_) {
      if (work.ticket == ticket) return true;
    }
    return false;
  }
  size_t Blocks() const {
    size_t blocks = 0;
    for (const auto& [ticket, copy] : copies_) blocks += copy.size();
    return blocks;
  }

  Model& model_;
  const size_t capacity_;  // blocks
  size_t most_tickets_ = 1000;
  ParkTicket last_ = 0;
  std::map<ParkTicket, std::vector<std::vector<char>>> copies_;
  std::deque<Work> begun_;
};

}  // namespace sinkstream
