// Random numbers of a load: the same for the same seed on every machine, which the distributions of
// the standard library are not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sinkstream::loadgen {

class Random {
 public:
  // `stream`: what is drawn of one says nothing about another.
  Random(uint64_t seed, uint64_t stream);

  // In [0, 1).
  double Uniform();
  // Of mean 1.
  double Exponential();
  // In [least, most].
  int64_t Between(int64_t least, int64_t most);
  bool Chance(double probability) { return Uniform() < probability; }

 private:
  uint64_t state_;
};

// Whole numbers: always the same one, each of a range alike, or exponential around a mean.
struct Distribution {
  enum class Shape { kConstant, kUniform, kExponential };
  Shape shape = Shape::kConstant;
  int64_t least = 0;  // the constant, or what no number falls below
  int64_t most = 0;   // likewise: what none exceeds
  double mean = 0;

  int64_t Draw(Random& random) const;
};

Distribution Constant(int64_t value);

// "128", "16-64" or "exp:200"; numbers in [least, most], and exponential ones at most ten times
// their mean. INVALID_ARGUMENT says what it must be.
absl::StatusOr<Distribution> ParseDistribution(std::string_view text, int64_t least, int64_t most);

// As ParseDistribution() takes it.
std::string Describe(const Distribution& distribution);

}  // namespace sinkstream::loadgen
