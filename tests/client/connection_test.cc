#include "client/connection.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>

#include <optional>
#include <string>

#include "client/session_client.h"
#include "tests/client/listening_socket.h"
#include "tests/client/scripted_server.h"

namespace sinkstream {
namespace {

// A variable of the environment as it is to be, and afterwards as it was.
class Variable {
 public:
  // Empty: unset.
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* const before = getenv(name)) before_ = before;
    Set(value.empty() ? std::nullopt : std::optional(value));
  }
  ~Variable() { Set(before_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  void Set(const std::optional<std::string>& value) {
    value ? setenv(name_, value->c_str(), /*overwrite=*/1) : unsetenv(name_);
  }

  const char* const name_;
  std::optional<std::string> before_;
};

// The proxy of this process's environment. It answers nobody.
class Proxy {
 public:
  std::string url() const { return "http://" + listening_.address(); }
  bool WasCalled() const {
    pollfd caller = {.fd = listening_.descriptor(), .events = POLLIN, .revents = 0};
    return poll(&caller, 1, /*timeout=*/0) != 0;
  }

 private:
  const ListeningSocket listening_;
};

class ProxyTest : public testing::TestWithParam<const char*> {
 protected:
  const Proxy proxy_;
  const Variable ones_[5] = {{"no_grpc_proxy", ""},
                             {"no_proxy", ""},
                             {"grpc_proxy", ""},
                             {"https_proxy", ""},
                             {"http_proxy", ""}};
  const Variable proxies_{GetParam(), proxy_.url()};
  ScriptedServer server_{Echo};
};

INSTANTIATE_TEST_SUITE_P(Each, ProxyTest,
                         testing::Values("http_proxy", "https_proxy", "grpc_proxy"),
                         [](const auto& its) { return std::string(its.param); });

constexpr ClientPatience kPatience = {.open = absl::Seconds(10)};

TEST_P(ProxyTest, HearsNothingOfWhatIsForThisMachine) {
  SessionClient client(server_.address(), kPatience);
  EXPECT_TRUE(client.Open({}).ok());
  EXPECT_FALSE(proxy_.WasCalled());
}

// 0.0.0.0 is this machine to the kernel, but any address that is not loopback to a client.
TEST_P(ProxyTest, HearsNothingInTheClear) {
  const std::string address = server_.address();
  Credentials credentials;
  credentials.token = "secret-token";
  SessionClient client("0.0.0.0" + address.substr(address.rfind(':')), kPatience, credentials);
  EXPECT_TRUE(client.Open({}).ok());
  EXPECT_FALSE(proxy_.WasCalled());
}

}  // namespace
}  // namespace sinkstream
