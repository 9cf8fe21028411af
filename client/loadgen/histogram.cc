#include "client/loadgen/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace sinkstream::loadgen {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// Values below 256 have a bucket each; beyond, each doubling of the value has 128.
constexpr int kBits = 8;
constexpr int64_t kHalf = int64_t{1} << (kBits - 1);
constexpr int kMostBits = 40;
constexpr int64_t kMostThousandths = (int64_t{1} << kMostBits) - 1;

int ShiftOf(int64_t value) {
  return std::max(0, static_cast<int>(std::bit_width(static_cast<uint64_t>(value))) - kBits);
}

size_t BucketOf(int64_t value) {
  const int shift = ShiftOf(value);
  return static_cast<size_t>(shift * kHalf + (value >> shift));
}

double MiddleOf(size_t bucket) {
  const auto index = static_cast<int64_t>(bucket);
  const int64_t shift = std::max<int64_t>(0, index / kHalf - 1);
  const int64_t first = (index - shift * kHalf) << shift;
  return static_cast<double>(first) + static_cast<double>((int64_t{1} << shift) - 1) / 2;
}

double InUnits(double thousandths) { return thousandths / 1000; }

}  // namespace

Histogram::Histogram() : counts_(BucketOf(kMostThousandths) + 1) {}

void Histogram::Add(int64_t thousandths, int64_t count) {
  const int64_t value = std::clamp<int64_t>(thousandths, 0, kMostThousandths);
  counts_[BucketOf(value)] += count;
  count_ += count;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value) * static_cast<double>(count);
}

void Histogram::Add(absl::Duration duration, int64_t count) {
  Add(absl::ToInt64Microseconds(duration), count);
}

double Histogram::Min() const { return count_ == 0 ? kNone : InUnits(static_cast<double>(min_)); }

double Histogram::Max() const { return count_ == 0 ? kNone : InUnits(static_cast<double>(max_)); }

double Histogram::Mean() const {
  return count_ == 0 ? kNone : InUnits(sum_ / static_cast<double>(count_));
}

double Histogram::Percentile(double percent) const {
  if (count_ == 0) return kNone;
  const double rank = std::max(1.0, std::ceil(percent / 100 * static_cast<double>(count_)));
  int64_t passed = 0;
  size_t bucket = 0;
  while ((passed += counts_[bucket]) < static_cast<int64_t>(rank)) ++bucket;
  return InUnits(
      std::clamp(MiddleOf(bucket), static_cast<double>(min_), static_cast<double>(max_)));
}

}  // namespace sinkstream::loadgen
