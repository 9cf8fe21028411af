// MetricStore: the cells of every series of the catalog, from the start, and the text that
// Prometheus reads.
//
// Who counts looks his cells up once, when he is made, and keeps the references: they live as long
// as the store. What is cheaper to ask for than to keep is filled in just before a text is made.
#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/sync.h"
#include "server/metrics/catalog.h"
#include "server/metrics/cells.h"

namespace sinkstream {

class MetricStore {
 public:
  MetricStore();
  ~MetricStore();
  MetricStore(const MetricStore&) = delete;
  MetricStore& operator=(const MetricStore&) = delete;

  // `values`: of each label, the number of its value in the catalog. Requires: the metric is of
  // that type and has such labels. Any thread.
  using LabelValues = std::initializer_list<size_t>;
  Counter& CounterOf(Metric metric, LabelValues values = {});
  Gauge& GaugeOf(Metric metric, LabelValues values = {});
  HistogramCell& HistogramOf(Metric metric, LabelValues values = {});

  // The one series of a gauge whose labels' values the catalog leaves open: 1, with `values`. It is
  // told from now on. Any thread.
  void SetInfo(Metric metric, std::vector<std::string> values);

  // `fill` is called before each text, one at a time, by the thread that asks for it. It calls
  // neither SetInfo nor FillBeforeText nor Text. What it uses outlives the last text.
  void FillBeforeText(std::function<void()> fill);

  // Prometheus' text format 0.0.4. Any thread.
  std::string Text();

 private:
  struct Family;

  Family& Of(Metric metric) { return *families_[static_cast<size_t>(metric)]; }

  std::vector<std::unique_ptr<Family>> families_;  // in the order of the catalog
  Mutex mutex_;
  std::vector<std::function<void()>> fills_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sinkstream
