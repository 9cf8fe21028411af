#include "server/telemetry/log_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

using nlohmann::ordered_json;
using testing::ElementsAre;

// A log whose reader is the test.
class Log {
 public:
  explicit Log(LogLevel level = LogLevel::kInfo, absl::Duration farewell = absl::ZeroDuration()) {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    writer_.emplace(
        LogWriter::Options{ends_[1], level,
                           [] { return absl::FromUnixMicros(1'700'000'000'123'456); }, farewell},
        metrics_);
  }
  ~Log() {
    Stop();
    CloseReader();
  }

  LogWriter& writer() { return *writer_; }
  double Dropped() { return metrics_.CounterOf(Metric::kLogLinesDropped).Value(); }
  double Lines(LogLevel level) {
    return metrics_.CounterOf(Metric::kLogLines, {static_cast<size_t>(level)}).Value();
  }
  void CloseReader() {
    if (ends_[0] >= 0) close(std::exchange(ends_[0], -1));
  }
  // The next line.
  std::string ReadLine() {
    std::string line;
    for (char c = 0; read(ends_[0], &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  // The lines that have been written when no more will come.
  std::vector<std::string> ReadAll() {
    Stop();
    std::string text;
    char buffer[4096];
    while (const ssize_t got = read(ends_[0], buffer, sizeof(buffer))) {
      text.append(buffer, static_cast<size_t>(got));
    }
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  void Stop() {
    writer_.reset();
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
  }

 private:
  int ends_[2] = {-1, -1};
  MetricStore metrics_;
  std::optional<LogWriter> writer_;
};

TEST(LogWriter, WritesAnObjectALine) {
  Log log;
  log.writer().Write(LogLevel::kInfo, "turn", {{"tokens", 3}, {"reason", "length"}});
  log.writer().Write(LogLevel::kError, "failed", ordered_json::object());
  EXPECT_EQ(log.ReadLine(),
            R"({"time":"2023-11-14T22:13:20.123456Z","level":"info","event":"turn","tokens":3,)"
            R"("reason":"length"})");
  EXPECT_EQ(log.ReadLine(),
            R"({"time":"2023-11-14T22:13:20.123456Z","level":"error","event":"failed"})");
  log.Stop();
  EXPECT_EQ(log.Lines(LogLevel::kInfo), 1);
  EXPECT_EQ(log.Lines(LogLevel::kError), 1);
}

TEST(LogWriter, NobodyForgesALine) {
  Log log;
  log.writer().Write(LogLevel::kInfo, "turn", {{"principal", "eve\n{\"level\":\"\xff\"}\x01"}});
  const auto line = ordered_json::parse(log.ReadLine());
  EXPECT_EQ(line["principal"], "eve\n{\"level\":\"\xEF\xBF\xBD\"}\x01");
}

TEST(LogWriter, WritesWhatItsLevelAsksForAtThatMoment) {
  Log log(LogLevel::kWarning);
  const auto write_all = [&](const std::string& event) {
    for (const LogLevel level :
         {LogLevel::kError, LogLevel::kWarning, LogLevel::kInfo, LogLevel::kDebug}) {
      log.writer().Write(level, event, ordered_json::object());
    }
  };
  const auto heard = [&](int lines) {
    std::string levels;
    for (int i = 0; i < lines; ++i)
      levels += ordered_json::parse(log.ReadLine())["level"].get<std::string>() + " ";
    return levels;
  };
  write_all("before");
  EXPECT_EQ(heard(2), "error warning ");
  log.writer().SetLevel(LogLevel::kDebug);
  write_all("between");
  EXPECT_EQ(heard(4), "error warning info debug ");
  log.writer().SetLevel(LogLevel::kError);
  write_all("after");
  EXPECT_EQ(heard(1), "error ");
}

TEST(LogWriter, DropsAndCountsWhatAReaderThatDoesNotReadLeavesNoRoomFor) {
  Log log;
  const std::string field(500, 'x');
  constexpr int kLines = 10'000;  // of a pipe and a queue that hold some 1200
  for (int i = 0; i < kLines; ++i)
    log.writer().Write(LogLevel::kInfo, "turn", {{"number", i}, {"field", field}});
  EXPECT_GT(log.Dropped(), kLines / 2);
  const auto lines = log.ReadAll();
  EXPECT_EQ(log.Lines(LogLevel::kInfo), static_cast<double>(lines.size()));
  EXPECT_EQ(log.Lines(LogLevel::kInfo) + log.Dropped(), kLines);
  ASSERT_FALSE(lines.empty());
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(ordered_json::parse(lines[i])["number"], i);
}

TEST(LogWriter, WritesWhatWaitsAtTheEnd) {
  Log log;
  for (int i = 0; i < 50; ++i) log.writer().Write(LogLevel::kInfo, "turn", {{"number", i}});
  EXPECT_EQ(log.ReadAll().size(), 50u);
}

TEST(LogWriter, AFlushWaitsForWhatWaits) {
  Log log(LogLevel::kInfo, absl::Hours(1));
  for (int i = 0; i < 50; ++i) log.writer().Write(LogLevel::kInfo, "turn", {{"number", i}});
  log.writer().Flush();
  EXPECT_EQ(log.Lines(LogLevel::kInfo), 50);
}

TEST(LogWriter, AFlushDoesNotWaitForAReaderThatDoesNotRead) {
  Log log;
  const std::string field(500, 'x');
  for (int i = 0; i < 1000; ++i) log.writer().Write(LogLevel::kInfo, "turn", {{"field", field}});
  log.writer().Flush();
  EXPECT_LT(log.Lines(LogLevel::kInfo), 1000);
}

TEST(LogWriter, OutlivesItsReader) {
  Log log;
  log.CloseReader();
  log.writer().Write(LogLevel::kInfo, "turn", ordered_json::object());
  log.Stop();
  EXPECT_EQ(log.Dropped(), 1);
  EXPECT_EQ(log.Lines(LogLevel::kInfo), 0);
}

TEST(LogWriter, ALineThatIsTooLongIsThereWithoutItsFields) {
  Log log;
  log.writer().Write(LogLevel::kError, "turn",
                     {{"field", std::string(LogWriter::kMostLineBytes, 'x')}});
  log.Stop();
  EXPECT_EQ(log.ReadLine(),
            R"({"time":"2023-11-14T22:13:20.123456Z","level":"error","event":"turn",)"
            R"("truncated":true})");
  EXPECT_EQ(log.Lines(LogLevel::kError), 1);
  EXPECT_EQ(log.Dropped(), 0);
}

TEST(LogLevel, IsNamed) {
  for (const char* name : {"error", "warning", "info", "debug"}) {
    ASSERT_TRUE(ParseLogLevel(name).has_value()) << name;
    EXPECT_EQ(LogLevelName(*ParseLogLevel(name)), name);
  }
  EXPECT_FALSE(ParseLogLevel("").has_value());
  EXPECT_FALSE(ParseLogLevel("Info").has_value());
}

}  // namespace
}  // namespace sinkstream
