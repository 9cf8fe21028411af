#include "engine/sampling/logits.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace sinkstream {
namespace {

constexpr size_t kLanes = 16;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

struct Scan {
  float highest = kMinusInfinity;
  bool nan = false;

  void Add(float value) {
    highest = value > highest ? value : highest;
    nan |= value != value;
  }
};

Scan ScanAll(absl::Span<const float> values) {
  float highest[kLanes];
  uint32_t nan[kLanes] = {};
  std::fill_n(highest, kLanes, kMinusInfinity);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      highest[lane] = value > highest[lane] ? value : highest[lane];
      nan[lane] |= value != value ? 1u : 0u;
    }
  }
  Scan scan;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    scan.Add(highest[lane]);
    scan.nan |= nan[lane] != 0;
  }
  for (; i < values.size(); ++i) scan.Add(values[i]);
  return scan;
}

// Whether any of kLanes values is `floor` or more: few are, so most are passed over together.
bool AnyAtLeast(const float* values, float floor) {
  uint32_t any = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) any |= values[lane] >= floor ? 1u : 0u;
  return any != 0;
}

// 2^k * e^r = e^x, k whole and |r| <= ln(2) / 2; e^r by its series, whose rest is below 1e-8.
float Exp(float x) {
  constexpr float kLowest = -87.0f;         // e^x is a normal number from here on
  constexpr float kToWhole = 12582912.0f;   // 1.5 * 2^23: what is added to it is rounded
  constexpr float kLn2High = 0.693359375f;  // few bits, so k times it is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const float clamped = x > kLowest ? x : kLowest;
  const float k = (clamped * 1.44269504f + kToWhole) - kToWhole;
  const float r = clamped - k * kLn2High - k * kLn2Low;
  float series = 1.0f / 5040;
  series = series * r + 1.0f / 720;
  series = series * r + 1.0f / 120;
  series = series * r + 1.0f / 24;
  series = series * r + 1.0f / 6;
  series = series * r + 0.5f;
  series = series * r * r + r + 1.0f;
  const auto scale = std::bit_cast<float>((static_cast<int32_t>(k) + 127) << 23);
  return x > kLowest ? series * scale : 0.0f;
}

absl::StatusOr<Peak> Checked(const Peak& peak) {
  if (std::isfinite(peak.logit)) return peak;
  return absl::InternalError("the model gave logits that are not finite");
}

}  // namespace

absl::StatusOr<Peak> FindPeak(absl::Span<const float> logits) {
  const Scan scan = ScanAll(logits);
  const float highest = scan.nan ? std::numeric_limits<float>::quiet_NaN() : scan.highest;
  if (auto peak = Checked({0, highest}); !peak.ok()) return peak;
  size_t i = 0;
  while (i + kLanes <= logits.size() && !AnyAtLeast(&logits[i], scan.highest)) i += kLanes;
  while (logits[i] != scan.highest) ++i;
  return Peak{static_cast<TokenId>(i), scan.highest};
}

RowLogits RowOf(const StepLogits& given, size_t row, size_t vocab_size) {
  RowLogits one = {given.logits.subspan(row * vocab_size, vocab_size)};
  if (!given.peaks.empty()) one.peak = given.peaks[row];
  return one;
}

absl::StatusOr<Peak> PeakOf(const RowLogits& row) {
  return row.peak ? Checked(*row.peak) : FindPeak(row.logits);
}

void FindAtLeast(absl::Span<const float> logits, float floor, std::vector<TokenId>& tokens) {
  tokens.clear();
  tokens.reserve(logits.size());
  const auto take = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (logits[i] >= floor) tokens.push_back(static_cast<TokenId>(i));
    }
  };
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    if (AnyAtLeast(&logits[i], floor)) take(i, i + kLanes);
  }
  take(i, logits.size());
}

void ExpInPlace(absl::Span<float> values) {
  float* const data = values.data();
  const size_t count = values.size();
  for (size_t i = 0; i < count; ++i) data[i] = Exp(data[i]);
}

double SumOfExps(absl::Span<const float> logits, float highest) {
  constexpr size_t kChunk = 256;
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kChunk) {
    const auto chunk = logits.subspan(begin, kChunk);
    std::array<float, kChunk> terms = {};
    for (size_t i = 0; i < chunk.size(); ++i) terms[i] = chunk[i] - highest;
    ExpInPlace(absl::MakeSpan(terms).first(chunk.size()));
    for (size_t width = kChunk / 2; width >= kChunk / 8; width /= 2) {
      for (size_t i = 0; i < width; ++i) terms[i] += terms[i + width];
    }
    sum = std::accumulate(terms.begin(), terms.begin() + kChunk / 8, sum);
  }
  return sum;
}

}  // namespace sinkstream
