// Counter, Gauge, HistogramCell: the numbers behind a series. Any thread writes and reads them
// without a lock and without an allocation; a reader may see one write of a thread before an
// earlier one. (prometheus-cpp's own histogram takes a mutex for each observation.)
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sinkstream {

class Counter {
 public:
  // `amount` >= 0.
  void Add(double amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }
  // For a count that somebody else keeps; it never falls.
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class HistogramCell {
 public:
  // `bounds`: upper bounds of the buckets, included in them; ascending; outlives this.
  explicit HistogramCell(const std::vector<double>& bounds)
      : bounds_(bounds), counts_(bounds.size() + 1) {}

  void Observe(double value, uint64_t times = 1) {
    const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
    counts_[static_cast<size_t>(bucket)].fetch_add(times, std::memory_order_relaxed);
    sum_.fetch_add(value * static_cast<double>(times), std::memory_order_relaxed);
  }

  struct Reading {
    std::vector<uint64_t> cumulative;  // of each bucket, +Inf last: all
    double sum = 0;
  };
  Reading Read() const {
    Reading reading;
    uint64_t total = 0;
    for (const auto& count : counts_) {
      total += count.load(std::memory_order_relaxed);
      reading.cumulative.push_back(total);
    }
    reading.sum = sum_.load(std::memory_order_relaxed);
    return reading;
  }

 private:
  const std::vector<double>& bounds_;
  std::vector<std::atomic<uint64_t>> counts_;  // the last one: of +Inf
  std::atomic<double> sum_{0};
};

}  // namespace sinkstream
