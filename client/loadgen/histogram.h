// Histogram: counts of values in buckets that are as fine as the value is small, as HdrHistogram
// has them, so that percentiles are right to within half a percent in memory that is the same for
// ten values and for ten billion.
//
// Values are in thousandths of the unit that they are told in: microseconds of milliseconds.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace sinkstream::loadgen {

class Histogram {
 public:
  Histogram();

  // Negative values count as 0, those of 2^40 and more as 2^40 - 1.
  void Add(int64_t thousandths, int64_t count = 1);
  // In milliseconds.
  void Add(absl::Duration duration, int64_t count = 1);

  int64_t count() const { return count_; }
  // In the unit; NaN without a value. The extremes and the mean are exact.
  double Min() const;
  double Max() const;
  double Mean() const;
  // The value that `percent` of all values do not exceed: the middle of its bucket. In [0, 100].
  double Percentile(double percent) const;

 private:
  std::vector<int64_t> counts_;  // by bucket
  int64_t count_ = 0;
  int64_t min_ = INT64_MAX;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace sinkstream::loadgen
