#include "server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "server/byte_size.h"

namespace sinkstream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int32_t kLargest32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

ServerConfig Good() {
  ServerConfig config;
  config.model = "model.pt";
  return config;
}

TEST(ServerConfig, DefaultsNeedAModelAlone) {
  EXPECT_THAT(Validate(Good()), IsEmpty());
  EXPECT_THAT(Validate(ServerConfig()), ElementsAre(HasSubstr("--model: ")));
}

TEST(ServerConfig, EveryFaultIsToldAtOnce) {
  ServerConfig config = Good();
  config.listen = "nowhere";
  config.threads = -1;
  config.isa = "sse9";
  EXPECT_THAT(
      Validate(config),
      ElementsAre("--listen: is 'nowhere'; must be ADDRESS:PORT, IPv6 in brackets, the port at "
                  "most 65535",
                  "--threads: is -1; must be at least 0",
                  "--isa: is 'sse9'; must be one of auto, amx, avx512_bf16, avx512_vnni, "
                  "avx512, avx2, portable"));
}

struct Fault {
  const char* flag;
  std::function<void(ServerConfig&)> make;
};

TEST(ServerConfig, NamesTheFlagOfEachFault) {
  const Fault faults[] = {
      {"listen", [](auto& c) { c.listen = "127.0.0.1:65536"; }},
      {"listen", [](auto& c) { c.listen = ":50051"; }},
      {"listen", [](auto& c) { c.listen = "127.0.0.1:x"; }},
      {"metrics_listen", [](auto& c) { c.metrics_listen = "9464"; }},
      {"metrics_listen", [](auto& c) { c.metrics_listen = "127.0.0.1:70000"; }},
      {"log_level", [](auto& c) { c.log_level = "loud"; }},
      {"threads", [](auto& c) { c.threads = 5000; }},
      {"kv_bytes", [](auto& c) { c.kv_bytes = 0; }},
      {"park_bytes", [](auto& c) { c.engine.park.bytes = -1; }},
      {"kv_dtype", [](auto& c) { c.kv_dtype = "int4"; }},
      {"position_offset", [](auto& c) { c.engine.position_offset = -1; }},
      {"drain_timeout", [](auto& c) { c.drain_timeout = -absl::Seconds(1); }},
      {"stuck_step_limit", [](auto& c) { c.stuck_step_limit = absl::ZeroDuration(); }},
      {"sinks", [](auto& c) { c.engine.defaults.sinks = -1; }},
      {"window", [](auto& c) { c.engine.defaults.window = 0; }},
      {"idle_timeout", [](auto& c) { c.engine.defaults.idle_timeout = absl::Hours(25); }},
      {"idle_timeout", [](auto& c) { c.engine.defaults.idle_timeout = -absl::Hours(1); }},
      {"max_idle_timeout",
       [](auto& c) {
         c.engine.limits.max_idle_timeout = -absl::Hours(1);
         c.engine.defaults.idle_timeout = -absl::Hours(1);
       }},
      {"max_idle_timeout", [](auto& c) { c.engine.limits.max_idle_timeout = absl::Hours(9000); }},
      {"idle_timeout", [](auto& c) { c.engine.limits.max_idle_timeout = absl::Minutes(9); }},
      {"park_directory",
       [](auto& c) {
         c.engine.park.bytes = 1;
         c.engine.park.directory = "";
       }},
      {"max_sessions", [](auto& c) { c.engine.limits.max_sessions = 0; }},
      {"max_principal_sessions", [](auto& c) { c.engine.limits.max_principal_sessions = -1; }},
      {"max_principal_sessions", [](auto& c) { c.engine.limits.max_principal_sessions = 1; }},
      {"step_tokens",
       [](auto& c) { c.engine.limits.step_tokens = c.engine.limits.prefill_chunk = 0; }},
      {"prefill_chunk", [](auto& c) { c.engine.limits.prefill_chunk = 1000; }},
      {"speculative_tokens", [](auto& c) { c.engine.limits.speculative_tokens = -1; }},
      {"score_rows", [](auto& c) { c.engine.limits.score_rows = 0; }},
      {"distribution_bytes", [](auto& c) { c.engine.limits.distribution_bytes = 0; }},
      {"max_tokens", [](auto& c) { c.engine.limits.max_tokens = 0; }},
      {"max_request_bytes", [](auto& c) { c.engine.limits.max_request_bytes = 0; }},
      {"max_message_bytes", [](auto& c) { c.max_message_bytes = 1000; }},
      {"max_message_bytes", [](auto& c) { c.max_message_bytes = int64_t{1} << 31; }},
  };
  for (const Fault& fault : faults) {
    ServerConfig config = Good();
    fault.make(config);
    const auto told = Validate(config);
    ASSERT_FALSE(told.empty()) << fault.flag;
    EXPECT_THAT(told.front(), testing::StartsWith("--" + std::string(fault.flag) + ": "));
  }
}

TEST(ServerConfig, SessionsOfAPrincipalAreBoundedWherePrincipalsAreKnown) {
  for (const bool by_certificate : {false, true}) {
    ServerConfig config = Good();
    config.engine.limits.max_principal_sessions = config.engine.limits.max_sessions;
    config.security.auth_tokens = by_certificate ? "" : "tokens";
    if (by_certificate) config.security.tls = {"server.pem", "server.key", "ca.pem"};
    EXPECT_THAT(Validate(config), testing::IsEmpty());
    ++config.engine.limits.max_principal_sessions;
    EXPECT_THAT(Validate(config), testing::ElementsAre(testing::HasSubstr("at most 256")));
  }
}

TEST(ServerConfig, EveryNumberHasAnUpperBound) {
  const Fault faults[] = {
      {"threads", [](auto& c) { c.threads = kLargest32; }},
      {"kv_bytes", [](auto& c) { c.kv_bytes = kLargest; }},
      {"park_bytes", [](auto& c) { c.engine.park.bytes = kLargest; }},
      {"position_offset", [](auto& c) { c.engine.position_offset = kLargest; }},
      {"drain_timeout", [](auto& c) { c.drain_timeout = absl::InfiniteDuration(); }},
      {"drain_timeout", [](auto& c) { c.drain_timeout = absl::Hours(25); }},
      {"stuck_step_limit", [](auto& c) { c.stuck_step_limit = absl::InfiniteDuration(); }},
      {"sinks", [](auto& c) { c.engine.defaults.sinks = kLargest32; }},
      {"window", [](auto& c) { c.engine.defaults.window = kLargest; }},
      {"idle_timeout", [](auto& c) { c.engine.defaults.idle_timeout = absl::InfiniteDuration(); }},
      {"max_sessions", [](auto& c) { c.engine.limits.max_sessions = kLargest32; }},
      {"max_principal_sessions",
       [](auto& c) { c.engine.limits.max_principal_sessions = kLargest32; }},
      {"step_tokens", [](auto& c) { c.engine.limits.step_tokens = kLargest32; }},
      {"prefill_chunk", [](auto& c) { c.engine.limits.prefill_chunk = kLargest32; }},
      {"speculative_tokens", [](auto& c) { c.engine.limits.speculative_tokens = 33; }},
      {"score_rows", [](auto& c) { c.engine.limits.score_rows = kLargest32; }},
      {"distribution_bytes", [](auto& c) { c.engine.limits.distribution_bytes = kLargest; }},
      {"max_tokens", [](auto& c) { c.engine.limits.max_tokens = kLargest32; }},
      {"max_request_bytes", [](auto& c) { c.engine.limits.max_request_bytes = kLargest; }},
      {"max_message_bytes", [](auto& c) { c.max_message_bytes = kLargest; }},
  };
  for (const Fault& fault : faults) {
    ServerConfig config = Good();
    fault.make(config);
    const auto told = Validate(config);
    ASSERT_FALSE(told.empty()) << fault.flag;
    EXPECT_THAT(told.front(), testing::StartsWith("--" + std::string(fault.flag) + ": is "));
    EXPECT_THAT(told.front(), HasSubstr("; must be "));
  }
}

TEST(ServerConfig, NothingButLoopbackIsListenedOnWithoutEncryption) {
  ServerConfig config = Good();
  config.listen = "0.0.0.0:50051";
  EXPECT_THAT(
      Validate(config),
      ElementsAre("--listen: is '0.0.0.0:50051', which other machines may reach, without "
                  "encryption; give --tls_certificate and --tls_key, or --insecure_listen"));
  config.security.auth_tokens = "tokens";
  EXPECT_THAT(Validate(config), ElementsAre(HasSubstr("without encryption")));
  config.insecure_listen = true;
  EXPECT_THAT(Validate(config), IsEmpty());
  config.insecure_listen = false;
  config.security.tls = {"server.pem", "server.key", ""};
  EXPECT_THAT(Validate(config), IsEmpty());
}

TEST(ServerConfig, ACertificateAndItsKeyComeTogether) {
  ServerConfig config = Good();
  config.security.tls.certificate = "server.pem";
  EXPECT_THAT(Validate(config), ElementsAre("--tls_key: is empty; --tls_certificate needs it"));
  config.security.tls = {"", "server.key", ""};
  EXPECT_THAT(Validate(config), ElementsAre("--tls_certificate: is empty; --tls_key needs it"));
  config.security.tls = {"", "", "clients.pem"};
  EXPECT_THAT(Validate(config),
              ElementsAre("--tls_client_ca: needs --tls_certificate and --tls_key"));
}

TEST(ServerConfig, ADrainMayTakeADayAndNoMore) {
  ServerConfig config = Good();
  config.drain_timeout = absl::Hours(24);
  EXPECT_THAT(Validate(config), IsEmpty());
  config.drain_timeout = absl::InfiniteDuration();
  EXPECT_THAT(Validate(config), ElementsAre("--drain_timeout: is inf; must be in [0, 24h]"));
}

TEST(ServerConfig, AcceptsIPv6Addresses) {
  ServerConfig config = Good();
  config.listen = "[::1]:0";
  EXPECT_THAT(Validate(config), IsEmpty());
}

int64_t Parsed(const char* text) {
  ByteSize size{-1};
  std::string error;
  return AbslParseFlag(text, &size, &error) ? size.bytes : -1;
}

TEST(ByteSize, ParsesUnitsAndPlainBytes) {
  EXPECT_EQ(Parsed("0"), 0);
  EXPECT_EQ(Parsed("1234567"), 1234567);
  EXPECT_EQ(Parsed("3KiB"), 3 << 10);
  EXPECT_EQ(Parsed("512MiB"), 512 << 20);
  EXPECT_EQ(Parsed("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(Parsed("1TiB"), int64_t{1} << 40);
}

TEST(ByteSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GiB", "2G", "2gib", "-1", "1.5GiB", "two", "9000000TiB",
                           "9223372036854775808", "1 GiB x"}) {
    EXPECT_EQ(Parsed(text), -1) << text;
  }
}

TEST(ByteSize, RoundTrips) {
  for (const char* text : {"0", "1", "1023", "1KiB", "2GiB", "1025KiB"}) {
    EXPECT_EQ(AbslUnparseFlag(ByteSize{Parsed(text)}), text);
  }
}

}  // namespace
}  // namespace sinkstream
