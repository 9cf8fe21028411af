#include "server/telemetry/ops_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sinkstream {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

int PortOf(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port)) << address;
  return port;
}

// What a server of loopback sends until it closes the connection.
std::string Exchange(int port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

class OpsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = OpsServer::Start("127.0.0.1:0", Sources());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  OpsServer::Sources Sources() {
    return {metrics_, log_, [this] { return readiness_; }};
  }
  std::string Ask(const std::string& method, const std::string& path,
                  const std::string& body = "") {
    return Exchange(PortOf(server_->Address()),
                    absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: ops\r\nContent-Length: ",
                                 body.size(), "\r\n\r\n", body));
  }

  MetricStore metrics_;
  LogWriter log_{{}, metrics_};
  std::string readiness_ = "ready";
  std::unique_ptr<OpsServer> server_;
};

TEST_F(OpsServerTest, TellsTheMetricsInPrometheusTextFormat) {
  metrics_.CounterOf(Metric::kDecodePauses).Add(3);
  const std::string answer = Ask("GET", "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("\nsinkstream_decode_pauses_total 3\n"));
}

TEST_F(OpsServerTest, IsAliveWhetherReadyOrNot) {
  readiness_ = "draining";
  EXPECT_THAT(Ask("GET", "/healthz"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(OpsServerTest, IsReadyOrSaysWhyNot) {
  EXPECT_THAT(Ask("GET", "/readyz"), StartsWith("HTTP/1.1 200 OK\r\n"));
  readiness_ = "stuck";
  const std::string answer = Ask("GET", "/readyz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nstuck\n"));
}

TEST_F(OpsServerTest, TellsAndChangesTheLogLevel) {
  EXPECT_THAT(Ask("GET", "/log_level"), HasSubstr("\r\n\r\ninfo\n"));
  EXPECT_THAT(Ask("PUT", "/log_level", "debug\n"), HasSubstr("\r\n\r\ndebug\n"));
  EXPECT_EQ(log_.Level(), LogLevel::kDebug);
}

TEST_F(OpsServerTest, RefusesWhatIsNoLogLevel) {
  for (const std::string& body : {std::string(), std::string("loud"), std::string(100'000, 'd')}) {
    EXPECT_THAT(Ask("PUT", "/log_level", body), StartsWith("HTTP/1.1 400 ")) << body.size();
  }
  EXPECT_EQ(log_.Level(), LogLevel::kInfo);
}

TEST_F(OpsServerTest, AnswersAHeadWithoutABody) {
  const std::string answer = Ask("HEAD", "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(OpsServerTest, KnowsNoOtherPathAndNoOtherMethod) {
  for (const char* path : {"/", "/metrics/", "/metrics/x", "/../etc/passwd", "/etc/passwd"}) {
    EXPECT_THAT(Ask("GET", path), StartsWith("HTTP/1.1 404 ")) << path;
  }
  for (const char* path : {"/metrics", "/healthz", "/readyz"}) {
    EXPECT_THAT(Ask("POST", path, "x"), StartsWith("HTTP/1.1 405 ")) << path;
    EXPECT_THAT(Ask("PUT", path, "x"), StartsWith("HTTP/1.1 405 ")) << path;
  }
}

TEST_F(OpsServerTest, LetsNoPageOfAnotherOriginIn) {
  const std::string answer = Exchange(PortOf(server_->Address()),
                                      "OPTIONS /log_level HTTP/1.1\r\nHost: ops\r\n"
                                      "Origin: http://evil.example\r\n"
                                      "Access-Control-Request-Method: PUT\r\n\r\n");
  EXPECT_THAT(answer, Not(HasSubstr("Access-Control-Allow")));
  EXPECT_THAT(answer, Not(StartsWith("HTTP/1.1 200 ")));
}

TEST_F(OpsServerTest, RefusesAHeadThatIsTooLong) {
  const std::string answer = Exchange(
      PortOf(server_->Address()),
      "GET /healthz HTTP/1.1\r\nHost: ops\r\nX-Long: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.0 400 "));
  EXPECT_THAT(Ask("GET", "/healthz"), StartsWith("HTTP/1.1 200 ")) << "and serves on";
}

// Whoever says that much more comes, and sends it slowly, takes nobody's place.
TEST_F(OpsServerTest, WaitsForNoBodyThatItDoesNotWant) {
  for (const char* head : {"POST /x", "POST /metrics", "GET /healthz", "PUT /log_level"}) {
    const auto begun = std::chrono::steady_clock::now();
    Exchange(PortOf(server_->Address()),
             absl::StrCat(head, " HTTP/1.1\r\nHost: ops\r\nContent-Length: 1000000000\r\n\r\n",
                          std::string(100, 'x')));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(3)) << head;
  }
}

TEST_F(OpsServerTest, SaysThatAPortIsTaken) {
  const auto second = OpsServer::Start(server_->Address(), Sources());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->Address()));
}

TEST_F(OpsServerTest, SaysWhyAnAddressCannotBeHad) {
  const auto of_another = OpsServer::Start("192.0.2.1:0", Sources());
  EXPECT_EQ(of_another.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(of_another.status().message()),
              HasSubstr("Cannot assign requested address"));
  const auto taken = OpsServer::Start(server_->Address(), Sources());
  EXPECT_THAT(std::string(taken.status().message()), HasSubstr("Address already in use"));
}

TEST_F(OpsServerTest, SaysWhereTheLibraryHasNoIpv6) {
  const auto six = OpsServer::Start("[::1]:0", Sources());
  if (six.ok()) GTEST_SKIP() << "it has";
  EXPECT_EQ(six.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(
      std::string(six.status().message()),
      "cannot listen on [::1]:0 (--metrics_listen): its HTTP library has no IPv6 here; give an "
      "IPv4 address");
}

}  // namespace
}  // namespace sinkstream
