#include "client/loadgen/random.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sinkstream::loadgen {
namespace {

constexpr std::string_view kExponentialMark = "exp:";
constexpr int64_t kMostOfMean = 10;

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::optional<int64_t> ParseNumber(std::string_view text, int64_t least, int64_t most) {
  int64_t value = 0;
  const bool number = absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value);
  if (!number || value < least || value > most) return std::nullopt;
  return value;
}

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : state_(Mix(seed) ^ Mix(~stream)) {}

double Random::Uniform() {
  state_ += 0x9e3779b97f4a7c15;
  return static_cast<double>(Mix(state_) >> 11) * 0x1p-53;
}

double Random::Exponential() { return -std::log1p(-Uniform()); }

int64_t Random::Between(int64_t least, int64_t most) {
  const double span = static_cast<double>(most - least) + 1;
  return std::min(most, least + static_cast<int64_t>(Uniform() * span));
}

int64_t Distribution::Draw(Random& random) const {
  switch (shape) {
    case Shape::kConstant:
      return least;
    case Shape::kUniform:
      return random.Between(least, most);
    case Shape::kExponential:
      return std::clamp<int64_t>(std::llround(random.Exponential() * mean), least, most);
  }
  return least;
}

Distribution Constant(int64_t value) {
  return {Distribution::Shape::kConstant, value, value, static_cast<double>(value)};
}

absl::StatusOr<Distribution> ParseDistribution(std::string_view text, int64_t least, int64_t most) {
  if (const auto value = ParseNumber(text, least, most)) return Constant(*value);
  if (text.substr(0, kExponentialMark.size()) == kExponentialMark) {
    const auto mean = ParseNumber(text.substr(kExponentialMark.size()), least, most);
    if (mean) {
      return Distribution{Distribution::Shape::kExponential, least,
                          std::min(most, *mean * kMostOfMean), static_cast<double>(*mean)};
    }
  } else if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto low = ParseNumber(text.substr(0, dash), least, most);
    const auto high = ParseNumber(text.substr(dash + 1), least, most);
    if (low && high && *low <= *high) {
      const double mean = static_cast<double>(*low + *high) / 2;
      return Distribution{Distribution::Shape::kUniform, *low, *high, mean};
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("must be a whole number N, a range A-B with A <= B, or exp:MEAN, in [", least,
                   ", ", most, "]"));
}

std::string Describe(const Distribution& distribution) {
  switch (distribution.shape) {
    case Distribution::Shape::kConstant:
      return absl::StrCat(distribution.least);
    case Distribution::Shape::kUniform:
      return absl::StrCat(distribution.least, "-", distribution.most);
    case Distribution::Shape::kExponential:
      return absl::StrCat("exp:", static_cast<int64_t>(distribution.mean));
  }
  return "";
}

}  // namespace sinkstream::loadgen
