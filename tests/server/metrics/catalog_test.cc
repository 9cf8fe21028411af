#include "server/metrics/catalog.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "server/metrics/catalog_page.h"

namespace sinkstream {
namespace {

TEST(MetricCatalog, IsInTheOrderOfItsEnum) {
  const auto& catalog = MetricCatalog();
  for (size_t i = 0; i < catalog.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(catalog[i].metric), i) << catalog[i].name;
  }
  EXPECT_EQ(catalog.back().metric, Metric::kProcessStartTimeSeconds) << "the last of the enum";
}

TEST(MetricCatalog, NamesAreOfOneFamilyAndDistinct) {
  std::set<std::string> names;
  for (const MetricInfo& info : MetricCatalog()) {
    EXPECT_TRUE(absl::StartsWith(info.name, "sinkstream_") ||
                absl::StartsWith(info.name, "process_"))
        << info.name;
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " is there twice";
    EXPECT_FALSE(info.help.empty()) << info.name;
  }
}

TEST(MetricCatalog, CountersEndInTotalAndUnitsAreInTheName) {
  for (const MetricInfo& info : MetricCatalog()) {
    const bool counts = info.type == MetricType::kCounter;
    EXPECT_EQ(absl::EndsWith(info.name, "_total"), counts) << info.name;
    EXPECT_TRUE(absl::StrContains(info.name, info.unit) || info.name == "sinkstream_step_rows")
        << info.name << " is in " << info.unit;
  }
}

TEST(MetricCatalog, HistogramsAndNoOthersHaveAscendingBuckets) {
  for (const MetricInfo& info : MetricCatalog()) {
    EXPECT_EQ(info.type == MetricType::kHistogram, !info.buckets.empty()) << info.name;
    EXPECT_TRUE(std::is_sorted(info.buckets.begin(), info.buckets.end(), std::less_equal<>()))
        << info.name;
  }
}

TEST(MetricCatalog, IsThePageOfTheDocumentation) {
  std::ifstream file(std::string(SINKSTREAM_SOURCE_DIR) + "/docs/metrics.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(page, CatalogPage()) << "sinkstream-server --print_metrics > docs/metrics.md";
}

}  // namespace
}  // namespace sinkstream
