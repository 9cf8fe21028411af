#include "server/telemetry/ops_server.h"

#include <civetweb.h>

#include <chrono>
#include <exception>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/listen_address.h"

namespace sinkstream {

struct OpsServer::Reply {
  int code = 200;
  std::string body;
  const char* type = "text/plain; charset=utf-8";
};

namespace {

constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr size_t kMostLevelBytes = 16;
constexpr char kNoLevel[] = "the body must be error, warning, info or debug\n";
constexpr int64_t kMostDiscardedBytes = int64_t{1} << 20;
constexpr auto kBodyPatience = std::chrono::seconds(5);

const char* Phrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

// The first thing that the library has had to say to this thread, since that was last cleared: its
// start tells the reason of a failure in no other way.
thread_local std::string problem;

int KeepMessage(const mg_connection*, const char* message) {
  if (problem.empty()) problem = message;
  return 1;
}

// At most `most` bytes of a body, or what has come within kBodyPatience. Byte by byte: asked for
// more, the library waits for all of them as long as some come now and then.
std::string ReadBody(mg_connection* connection, size_t most) {
  const auto deadline = std::chrono::steady_clock::now() + kBodyPatience;
  std::string body;
  char next = 0;
  while (body.size() < most && std::chrono::steady_clock::now() < deadline &&
         mg_read(connection, &next, 1) == 1) {
    body.push_back(next);
  }
  return body;
}

// What is left of a body: a connection that is closed on it may lose the answer. Else the library
// itself would read it, however long it says to be and takes.
void DiscardBody(mg_connection* connection) {
  const int64_t says = mg_get_request_info(connection)->content_length;
  mg_disable_connection_keep_alive(connection);
  if (says < 0 || says > kMostDiscardedBytes) return;
  ReadBody(connection, static_cast<size_t>(says));
}

}  // namespace

absl::StatusOr<std::unique_ptr<OpsServer>> OpsServer::Start(const std::string& address,
                                                            Sources sources) {
  if (address.front() == '[' && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", address,
        " (--metrics_listen): its HTTP library has no IPv6 here; give an IPv4 address"));
  }
  std::unique_ptr<OpsServer> server(new OpsServer(std::move(sources)));
  const std::string threads = absl::StrCat(kThreads);
  // No page of another origin may ask here (CORS): a browser may run beside the server.
  const char* options[] = {"listening_ports",
                           address.c_str(),
                           "num_threads",
                           threads.c_str(),
                           "request_timeout_ms",
                           "5000",
                           "max_request_size",
                           "8192",
                           "access_control_allow_methods",
                           "",
                           nullptr};
  mg_callbacks callbacks = {};
  callbacks.log_message = KeepMessage;
  problem.clear();
  mg_init_library(0);
  server->context_ = mg_start(&callbacks, server.get(), options);
  mg_server_port port = {};
  if (server->context_ == nullptr || mg_get_server_ports(server->context_, 1, &port) != 1) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, " (--metrics_listen): ", problem));
  }
  server->address_ = absl::StrCat(address.substr(0, address.rfind(':')), ":", port.port);
  mg_set_request_handler(server->context_, "**", &OpsServer::OnRequest, server.get());
  return server;
}

OpsServer::~OpsServer() {
  if (context_ != nullptr) mg_stop(context_);
}

// Called by a library in C, which no exception may pass.
int OpsServer::OnRequest(mg_connection* connection, void* self) {
  Reply reply;
  try {
    reply = static_cast<const OpsServer*>(self)->Answer(connection);
  } catch (const std::exception&) {
    reply = {500, "internal error\n"};
  }
  mg_printf(connection,
            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            reply.code, Phrase(reply.code), reply.type, reply.body.size());
  const std::string_view method = mg_get_request_info(connection)->request_method;
  if (method != "HEAD") mg_write(connection, reply.body.data(), reply.body.size());
  DiscardBody(connection);
  return reply.code;
}

OpsServer::Reply OpsServer::Answer(mg_connection* connection) const {
  const mg_request_info* const request = mg_get_request_info(connection);
  const std::string_view path = request->local_uri, method = request->request_method;
  if (path == "/log_level" && method == "PUT") return SetLogLevel(connection);
  const bool known =
      path == "/metrics" || path == "/healthz" || path == "/readyz" || path == "/log_level";
  if (!known) return {404, "there are /metrics, /healthz, /readyz and /log_level\n"};
  if (method != "GET" && method != "HEAD") return {405, "not of this path\n"};
  if (path == "/metrics") return {200, sources_.metrics.Text(), kMetricsType};
  if (path == "/healthz") return {200, "ok\n"};
  if (path == "/readyz") return Readiness();
  return {200, absl::StrCat(std::string(LogLevelName(sources_.log.Level())), "\n")};
}

OpsServer::Reply OpsServer::Readiness() const {
  const std::string state = sources_.readiness();
  return {state == "ready" ? 200 : 503, state + "\n"};
}

OpsServer::Reply OpsServer::SetLogLevel(mg_connection* connection) const {
  if (!IsLoopbackAddress(mg_get_request_info(connection)->remote_addr)) {
    return {403, "from loopback alone\n"};
  }
  const std::string body = ReadBody(connection, kMostLevelBytes + 1);
  if (body.size() > kMostLevelBytes) return {400, kNoLevel};
  const auto name = absl::StripAsciiWhitespace(body);
  const auto level = ParseLogLevel(std::string_view(name.data(), name.size()));
  if (!level) return {400, kNoLevel};
  sources_.log.SetLevel(*level);
  return {200, absl::StrCat(std::string(LogLevelName(*level)), "\n")};
}

}  // namespace sinkstream
