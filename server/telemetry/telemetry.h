// Telemetry: what an operator watches a server by, put together: the metrics, the log, and the
// observers that feed them.
#pragma once

#include "engine/clock.h"
#include "engine/engine.h"
#include "server/metrics/engine_metrics.h"
#include "server/metrics/metric_store.h"
#include "server/metrics/service_metrics.h"
#include "server/process/readiness.h"
#include "server/security/port_security.h"
#include "server/telemetry/log_writer.h"
#include "server/telemetry/request_log.h"

namespace sinkstream {

struct Telemetry {
  // `engine_clock` outlives this.
  Telemetry(LogLevel level, const Clock& engine_clock);

  // Tells what is constant of the engine, whose model is warm. Once, before it serves.
  void Describe(const Engine& engine);
  // Tells what these say, which outlive the last scrape. Once.
  void Watch(const Readiness& readiness);
  void Watch(const PortSecurity& security);

  MetricStore metrics;
  LogWriter log;
  RequestLog request_log;        // observes the engine
  EngineMetrics engine_metrics;  // observes the engine
  ServiceMetrics service_metrics;
};

}  // namespace sinkstream
