#include "server/telemetry/request_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "server/metrics/metric_store.h"

namespace sinkstream {
namespace {

using nlohmann::ordered_json;

class RequestLogTest : public testing::Test {
 protected:
  struct Pipe {
    Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
    ~Pipe() {
      for (const int end : ends) close(end);
    }
    int ends[2] = {-1, -1};
  };

  // The next line, without its time.
  ordered_json Line() {
    std::string line;
    for (char c = 0; read(pipe_.ends[0], &c, 1) == 1 && c != '\n';) line += c;
    ordered_json object = ordered_json::parse(line);
    EXPECT_EQ(object.erase("time"), 1u);
    return object;
  }
  RequestEnd Turn() {
    return {.session_id = id_,
            .principal = principal_,
            .trace = trace_,
            .request_id = 9,
            .replies = true,
            .reason = FinishReason::kLength,
            .status = absl::OkStatus(),
            .usage = {.prompt_tokens = 12,
                      .generated_tokens = 5,
                      .cached_tokens = 3,
                      .evicted_tokens = 2},
            .timings = {.queue = absl::Milliseconds(250),
                        .prefill = absl::Milliseconds(500),
                        .first_token = absl::Milliseconds(750),
                        .total = absl::Seconds(2)}};
  }

  const SessionId id_ = "0123456789abcdef0123456789abcdef";
  std::string principal_;
  std::optional<TraceContext> trace_;
  MetricStore metrics_;
  Pipe pipe_;
  LogWriter writer_{{.fd = pipe_.ends[1]}, metrics_};
  RequestLog log_{writer_};
};

TEST_F(RequestLogTest, ATurnIsALineOfCountsAndTimes) {
  log_.OnRequestEnd(Turn());
  EXPECT_EQ(Line().dump(),
            R"({"level":"info","event":"turn","session":"01234567","request_id":9,)"
            R"("finish_reason":"length","code":"OK","prompt_tokens":12,"generated_tokens":5,)"
            R"("cached_tokens":3,"evicted_tokens":2,"queue_seconds":0.25,"prefill_seconds":0.5,)"
            R"("first_token_seconds":0.75,"total_seconds":2.0})");
}

TEST_F(RequestLogTest, ATurnCarriesTheTraceAndThePrincipalOfItsStream) {
  principal_ = "ada";
  trace_ = TraceContext{"4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", true};
  log_.OnRequestEnd(Turn());
  const ordered_json line = Line();
  EXPECT_EQ(line["principal"], "ada");
  EXPECT_EQ(line["trace_id"], trace_->trace_id);
  EXPECT_EQ(line["parent_span_id"], trace_->span_id);
  EXPECT_EQ(line["trace_sampled"], true);
}

TEST_F(RequestLogTest, AnAppendHasNoReply) {
  RequestEnd append = Turn();
  append.replies = false;
  append.reason = std::nullopt;
  log_.OnRequestEnd(append);
  const ordered_json line = Line();
  EXPECT_EQ(line["event"], "append");
  EXPECT_FALSE(line.contains("finish_reason"));
  EXPECT_FALSE(line.contains("generated_tokens"));
}

TEST_F(RequestLogTest, TheServersFaultIsAnErrorWithItsText) {
  RequestEnd turn = Turn();
  turn.reason = std::nullopt;
  turn.status = absl::InternalError("the kernel broke");
  log_.OnRequestEnd(turn);
  const ordered_json line = Line();
  EXPECT_EQ(line["level"], "error");
  EXPECT_EQ(line["code"], "INTERNAL");
  EXPECT_EQ(line["message"], "the kernel broke");
}

TEST_F(RequestLogTest, TheTextOfAClientsFaultStaysOut) {
  RequestEnd turn = Turn();
  turn.reason = std::nullopt;
  turn.status = absl::InvalidArgumentError("turn.text: what the client said");
  log_.OnRequestEnd(turn);
  log_.InternalError(absl::InvalidArgumentError("what the client said"));
  const ordered_json line = Line();
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["code"], "INVALID_ARGUMENT");
  EXPECT_FALSE(line.contains("message"));
  log_.InternalError(absl::UnknownError("nobody knows"));
  EXPECT_EQ(
      Line().dump(),
      R"({"level":"error","event":"internal_error","code":"UNKNOWN","message":"nobody knows"})");
}

TEST_F(RequestLogTest, SessionsAreForWhoeverAsksForMore) {
  log_.OnSessionStart({.id = id_});
  writer_.SetLevel(LogLevel::kDebug);
  log_.OnSessionStart({.id = id_, .shared_tokens = 40});
  log_.OnSessionStart({.id = id_, .resumed = true});
  log_.OnSessionEnd(
      {.id = id_, .reason = CloseReason::kIdle, .lifetime = absl::Minutes(1), .tokens = 99});
  EXPECT_EQ(
      Line().dump(),
      R"({"level":"debug","event":"session_opened","session":"01234567","shared_tokens":40})");
  EXPECT_EQ(Line()["event"], "session_resumed");
  EXPECT_EQ(Line().dump(),
            R"({"level":"debug","event":"session_closed","session":"01234567","reason":"idle",)"
            R"("tokens":99,"lifetime_seconds":60.0})");
}

TEST_F(RequestLogTest, ACacheThatCannotBeSavedIsAnError) {
  log_.OnParkEnd({ParkOperation::kSave, absl::OkStatus(), 100, absl::Seconds(1)});
  log_.OnParkEnd(
      {ParkOperation::kSave, absl::ResourceExhaustedError("no space left"), 100, absl::Seconds(1)});
  const ordered_json line = Line();
  EXPECT_EQ(line["event"], "session_saved");
  EXPECT_EQ(line["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(line["message"], "no space left");
}

}  // namespace
}  // namespace sinkstream
