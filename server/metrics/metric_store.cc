#include "server/metrics/metric_store.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <utility>

#include "engine/check.h"

namespace sinkstream {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;

bool IsOpen(const MetricInfo& info) {
  return !info.labels.empty() && info.labels.front().values.empty();
}

// How many series the labels make.
size_t SeriesOf(const MetricInfo& info) {
  size_t series = 1;
  for (const MetricLabel& label : info.labels) series *= label.values.size();
  return series;
}

// Labels of the series of that number; the last label's value changes first.
std::vector<ClientMetric::Label> LabelsOf(const MetricInfo& info, size_t series) {
  std::vector<ClientMetric::Label> labels(info.labels.size());
  for (size_t i = labels.size(); i-- > 0;) {
    const MetricLabel& label = info.labels[i];
    labels[i] = {label.name, label.values[series % label.values.size()]};
    series /= label.values.size();
  }
  return labels;
}

prometheus::MetricType TypeOf(MetricType type) {
  if (type == MetricType::kCounter) return prometheus::MetricType::Counter;
  return type == MetricType::kGauge ? prometheus::MetricType::Gauge
                                    : prometheus::MetricType::Histogram;
}

ClientMetric::Histogram ToHistogram(const HistogramCell& cell, const std::vector<double>& bounds) {
  const HistogramCell::Reading reading = cell.Read();
  ClientMetric::Histogram histogram;
  histogram.sample_count = reading.cumulative.back();
  histogram.sample_sum = reading.sum;
  for (size_t i = 0; i < reading.cumulative.size(); ++i) {
    const double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({reading.cumulative[i], bound});
  }
  return histogram;
}

}  // namespace

// Cells of one type, a deque of which never moves them.
struct MetricStore::Family {
  explicit Family(const MetricInfo& metric) : info(metric) {
    const size_t series = IsOpen(info) ? 0 : SeriesOf(info);
    for (size_t i = 0; i < series; ++i) {
      if (info.type == MetricType::kCounter) counters.emplace_back();
      if (info.type == MetricType::kGauge) gauges.emplace_back();
      if (info.type == MetricType::kHistogram) histograms.emplace_back(info.buckets);
    }
  }

  size_t SeriesWith(LabelValues values) const {
    SINKSTREAM_CHECK(values.size() == info.labels.size());
    size_t series = 0, i = 0;
    for (const size_t value : values) {
      const size_t count = info.labels[i++].values.size();
      SINKSTREAM_CHECK(value < count);
      series = series * count + value;
    }
    return series;
  }

  MetricFamily Read() const {
    MetricFamily family{info.name, info.help, TypeOf(info.type), {}};
    const auto add = [&](size_t series) -> ClientMetric& {
      family.metric.emplace_back().label = LabelsOf(info, series);
      return family.metric.back();
    };
    for (size_t i = 0; i < counters.size(); ++i) add(i).counter.value = counters[i].Value();
    for (size_t i = 0; i < gauges.size(); ++i) add(i).gauge.value = gauges[i].Value();
    for (size_t i = 0; i < histograms.size(); ++i) {
      add(i).histogram = ToHistogram(histograms[i], info.buckets);
    }
    if (IsOpen(info) && !told.empty()) {
      ClientMetric& only = family.metric.emplace_back();
      only.gauge.value = 1;
      for (size_t i = 0; i < told.size(); ++i) only.label.push_back({info.labels[i].name, told[i]});
    }
    return family;
  }

  const MetricInfo& info;
  std::deque<Counter> counters;
  std::deque<Gauge> gauges;
  std::deque<HistogramCell> histograms;
  std::vector<std::string> told;  // values of open labels; the store's mutex_
};

MetricStore::MetricStore() {
  for (const MetricInfo& info : MetricCatalog()) {
    families_.push_back(std::make_unique<Family>(info));
  }
}

MetricStore::~MetricStore() = default;

Counter& MetricStore::CounterOf(Metric metric, LabelValues values) {
  return Of(metric).counters.at(Of(metric).SeriesWith(values));
}

Gauge& MetricStore::GaugeOf(Metric metric, LabelValues values) {
  return Of(metric).gauges.at(Of(metric).SeriesWith(values));
}

HistogramCell& MetricStore::HistogramOf(Metric metric, LabelValues values) {
  return Of(metric).histograms.at(Of(metric).SeriesWith(values));
}

void MetricStore::SetInfo(Metric metric, std::vector<std::string> values) {
  MutexLock lock(mutex_);
  SINKSTREAM_CHECK(IsOpen(Of(metric).info) && values.size() == Of(metric).info.labels.size());
  Of(metric).told = std::move(values);
}

void MetricStore::FillBeforeText(std::function<void()> fill) {
  MutexLock lock(mutex_);
  fills_.push_back(std::move(fill));
}

std::string MetricStore::Text() {
  std::vector<MetricFamily> families;
  {
    MutexLock lock(mutex_);
    for (const auto& fill : fills_) fill();
    for (const auto& family : families_) {
      families.push_back(family->Read());
      if (families.back().metric.empty()) families.pop_back();
    }
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace sinkstream
