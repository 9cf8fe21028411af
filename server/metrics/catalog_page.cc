#include "server/metrics/catalog_page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/metrics/catalog.h"

namespace sinkstream {
namespace {

constexpr char kHead[] =
    "# Metrics\n"
    "\n"
    "What `/metrics` tells ([operations](operations.md#metrics)). `sinkstream-server "
    "--print_metrics` prints this page; a test keeps it true.\n"
    "Every value of a label is there from the start, as 0. No label holds an id or a text of a "
    "client.\n"
    "\n"
    "| metric | type | unit | labels | meaning |\n"
    "|---|---|---|---|---|\n";

const char* TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "";
}

std::string Labels(const MetricInfo& info) {
  return absl::StrJoin(info.labels, "; ", [](std::string* out, const MetricLabel& label) {
    absl::StrAppend(out, "`", label.name, "`");
    if (!label.values.empty()) absl::StrAppend(out, ": ", absl::StrJoin(label.values, ", "));
  });
}

std::string Row(const MetricInfo& info) {
  std::string meaning = info.help;
  if (!info.buckets.empty()) {
    absl::StrAppend(&meaning, " Buckets: ", absl::StrJoin(info.buckets, " "), ".");
  }
  return absl::StrCat("| `", info.name, "` | ", TypeName(info.type), " | ", info.unit, " | ",
                      Labels(info), " | ", meaning, " |\n");
}

}  // namespace

std::string CatalogPage() {
  std::string page = kHead;
  for (const MetricInfo& info : MetricCatalog()) page += Row(info);
  return page;
}

}  // namespace sinkstream
