#include "server/telemetry/telemetry.h"

#include "server/process/memory_limit.h"
#include "server/process/process_stats.h"
#include "server/process/version.h"

namespace sinkstream {
namespace {

void FillProcess(MetricStore& metrics) {
  const auto process = ReadProcessStats();
  if (!process.ok()) return;
  metrics.CounterOf(Metric::kProcessCpuSeconds).Set(process->cpu_seconds);
  const auto set = [&](Metric metric, double value) { metrics.GaugeOf(metric).Set(value); };
  set(Metric::kProcessStartTimeSeconds, process->start_seconds);
  set(Metric::kProcessResidentMemoryBytes, static_cast<double>(process->resident_bytes));
  set(Metric::kProcessVirtualMemoryBytes, static_cast<double>(process->virtual_bytes));
  set(Metric::kProcessThreads, process->threads);
  set(Metric::kProcessOpenFds, process->open_fds);
  set(Metric::kProcessMaxFds, static_cast<double>(process->max_fds));
}

}  // namespace

Telemetry::Telemetry(LogLevel level, const Clock& engine_clock)
    : log({.level = level}, metrics),
      request_log(log),
      engine_metrics(metrics),
      service_metrics(metrics, engine_clock) {
  metrics.SetInfo(Metric::kBuildInfo, {kServerVersion});
  metrics.FillBeforeText([this] { FillProcess(metrics); });
}

void Telemetry::Describe(const Engine& engine) {
  engine_metrics.Describe(engine);
  const auto process = ReadProcessStats();
  if (!process.ok()) return;
  const int64_t limit =
      MemoryLimit(engine.Spec(), engine.Options().limits, process->resident_bytes);
  metrics.GaugeOf(Metric::kMemoryLimitBytes).Set(static_cast<double>(limit));
}

void Telemetry::Watch(const Readiness& readiness) {
  const absl::Duration stuck = readiness.StuckStepLimit();
  metrics.GaugeOf(Metric::kStuckStepLimitSeconds).Set(absl::ToDoubleSeconds(stuck));
  metrics.FillBeforeText([this, &readiness] {
    const bool ready = readiness.Current() == Readiness::State::kReady;
    metrics.GaugeOf(Metric::kReady).Set(ready ? 1 : 0);
    const absl::Duration in_flight = readiness.RoundInFlight();
    metrics.GaugeOf(Metric::kStepInFlightSeconds).Set(absl::ToDoubleSeconds(in_flight));
  });
}

void Telemetry::Watch(const PortSecurity& security) {
  metrics.FillBeforeText([this, &security] {
    const auto tls = security.Tls();
    const double expires = tls ? absl::ToDoubleSeconds(tls->expires - absl::UnixEpoch()) : 0;
    metrics.GaugeOf(Metric::kTlsCertificateExpirySeconds).Set(expires);
    metrics.GaugeOf(Metric::kSecurityFilesCurrent).Set(security.IsCurrent() ? 1 : 0);
  });
}

}  // namespace sinkstream
