// OpsServer: the port for operators, HTTP without encryption: /metrics for Prometheus, /healthz and
// /readyz for whoever starts and stops the server, /log_level for whoever looks into it.
//
//   GET /metrics    the text of a MetricStore
//   GET /healthz    200 as long as the process answers
//   GET /readyz     200 while the server takes sessions, else 503; the body says why
//   GET /log_level  error, warning, info or debug
//   PUT /log_level  one of these, from loopback alone (else 403); 400 for anything else
//
// Bounded: kThreads requests are carried out at a time, 20 connections wait, a request has 8 KiB of
// header, and a client 5 seconds to send it and 10 for a body; each connection carries one.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/metric_store.h"
#include "server/telemetry/log_writer.h"

struct mg_context;
struct mg_connection;

namespace sinkstream {

class OpsServer {
 public:
  static constexpr int kThreads = 4;

  // What it tells; any thread calls them, and they outlive this.
  struct Sources {
    MetricStore& metrics;
    LogWriter& log;
    // "ready", or why this server takes no sessions.
    std::function<std::string()> readiness;
  };

  // `address`: ADDRESS:PORT (IsAddressAndPort); port 0: any free one. UNAVAILABLE, saying why, if
  // it cannot be had; so is IPv6 where the HTTP library has none, as Debian's.
  static absl::StatusOr<std::unique_ptr<OpsServer>> Start(const std::string& address,
                                                          Sources sources);
  // Waits for the requests at hand, whose answers may be cut off.
  ~OpsServer();
  OpsServer(const OpsServer&) = delete;
  OpsServer& operator=(const OpsServer&) = delete;

  // With the port that it got.
  const std::string& Address() const { return address_; }

 private:
  struct Reply;

  explicit OpsServer(Sources sources) : sources_(std::move(sources)) {}
  static int OnRequest(mg_connection* connection, void* self);
  Reply Answer(mg_connection* connection) const;
  Reply Readiness() const;
  Reply SetLogLevel(mg_connection* connection) const;

  const Sources sources_;
  std::string address_;
  mg_context* context_ = nullptr;
};

}  // namespace sinkstream
