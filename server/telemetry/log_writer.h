// LogWriter: structured logs, a JSON object a line. Who logs never waits for whoever reads the log:
// lines go into a bounded queue, and a thread of its own writes them. What does not fit is dropped
// and counted.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/sync.h"
#include "server/metrics/metric_store.h"

namespace sinkstream {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

// "error", "warning", "info", "debug"; absent for anything else.
std::optional<LogLevel> ParseLogLevel(std::string_view name);
std::string_view LogLevelName(LogLevel level);

class LogWriter {
 public:
  static constexpr size_t kMostLines = 1024;      // that wait
  static constexpr size_t kMostLineBytes = 4096;  // of one, its newline included

  struct Options {
    int fd = 2;  // standard error; not closed
    LogLevel level = LogLevel::kInfo;
    std::function<absl::Time()> now = absl::Now;  // wall clock; any thread
    absl::Duration farewell = absl::Seconds(1);   // for what waits at the end
  };

  // `metrics` outlives this: it counts lines written, by level, and those dropped.
  LogWriter(Options options, MetricStore& metrics);
  // Writes what waits, for Options::farewell at most if nobody reads.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Any thread. Lines up to this level are written, from now on.
  void SetLevel(LogLevel level) { level_ = level; }
  LogLevel Level() const { return level_; }
  bool Writes(LogLevel level) const { return level <= Level(); }

  // Any thread; never blocks on the reader. The line: time (UTC, RFC 3339), level, event, then the
  // members of the object `fields`, or `"truncated":true` in their place if it were longer than
  // kMostLineBytes. Bytes that are no UTF-8 become U+FFFD.
  void Write(LogLevel level, std::string_view event, const nlohmann::ordered_json& fields);

  // Any thread. Before a process ends without the destructor: returns when what waits is written,
  // or after Options::farewell.
  void Flush();

 private:
  struct Line {
    LogLevel level;
    std::string text;
  };

  // False: there is no room for it.
  bool Put(Line line);
  void Run();
  // The next line; absent once none will come.
  std::optional<Line> Take();
  // False: nobody takes it.
  bool WriteOut(const std::string& line) const;
  // Until the reader takes a line; false if that is not in time.
  bool AwaitReader() const;

  const Options options_;
  std::atomic<LogLevel> level_;
  std::array<Counter*, 4> lines_{};  // by level
  Counter& dropped_;

  Mutex mutex_;
  CondVar arrived_, idle_;
  std::deque<Line> waiting_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<int64_t> give_up_at_;  // nanoseconds of the steady clock
  std::thread thread_;               // last: it uses all of the above
};

}  // namespace sinkstream
