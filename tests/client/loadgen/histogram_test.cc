#include "client/loadgen/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "client/loadgen/random.h"

namespace sinkstream::loadgen {
namespace {

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (int64_t value = 1; value <= 100; ++value) histogram.Add(value);
  EXPECT_DOUBLE_EQ(histogram.Percentile(50), 0.050);
  EXPECT_DOUBLE_EQ(histogram.Percentile(99), 0.099);
  EXPECT_DOUBLE_EQ(histogram.Percentile(100), 0.100);
  EXPECT_DOUBLE_EQ(histogram.Percentile(0), 0.001);
  EXPECT_DOUBLE_EQ(histogram.Mean(), 0.0505);
}

TEST(HistogramTest, PercentilesAreWithinHalfAPercentOfSortedValues) {
  Random random(7, 0);
  Histogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<int64_t>(std::exp(25 * random.Uniform())));
    histogram.Add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100 * 20000)) - 1;
    const double exact = static_cast<double>(values[rank]) / 1000;
    EXPECT_NEAR(histogram.Percentile(percent), exact, 0.005 * exact) << percent;
  }
  EXPECT_DOUBLE_EQ(histogram.Min(), static_cast<double>(values.front()) / 1000);
  EXPECT_DOUBLE_EQ(histogram.Max(), static_cast<double>(values.back()) / 1000);
}

TEST(HistogramTest, CountsAValueSeveralTimes) {
  Histogram histogram;
  histogram.Add(absl::Milliseconds(1), 99);
  histogram.Add(absl::Seconds(1));
  EXPECT_EQ(histogram.count(), 100);
  EXPECT_NEAR(histogram.Percentile(99), 1, 0.005);
  EXPECT_NEAR(histogram.Percentile(99.5), 1000, 5);
  EXPECT_DOUBLE_EQ(histogram.Mean(), (99 * 1 + 1000) / 100.0);
}

TEST(HistogramTest, TakesWhatIsOutOfItsRange) {
  Histogram histogram;
  histogram.Add(-5);
  histogram.Add(INT64_MAX);
  histogram.Add(absl::InfiniteDuration());
  EXPECT_EQ(histogram.Min(), 0);
  EXPECT_DOUBLE_EQ(histogram.Max(), static_cast<double>((int64_t{1} << 40) - 1) / 1000);
}

TEST(HistogramTest, OfNothingIsNotANumber) {
  EXPECT_TRUE(std::isnan(Histogram().Percentile(50)));
  EXPECT_TRUE(std::isnan(Histogram().Mean()));
  EXPECT_TRUE(std::isnan(Histogram().Max()));
}

}  // namespace
}  // namespace sinkstream::loadgen
