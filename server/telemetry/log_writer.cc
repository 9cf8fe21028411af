#include "server/telemetry/log_writer.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace sinkstream {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kNames[] = {"error", "warning", "info", "debug"};
constexpr int kPollMilliseconds = 50;
static_assert(LogWriter::kMostLineBytes <= PIPE_BUF,
              "a pipe that polls as writable takes a line whole");

int64_t SteadyNanoseconds() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string TextOf(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + '\n';
}

// A reader that has gone is an error of write(), not the end of the process.
void BlockBrokenPipe() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

}  // namespace

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

std::string_view LogLevelName(LogLevel level) { return kNames[static_cast<size_t>(level)]; }

LogWriter::LogWriter(Options options, MetricStore& metrics)
    : options_(std::move(options)),
      level_(options_.level),
      dropped_(metrics.CounterOf(Metric::kLogLinesDropped)),
      give_up_at_(std::numeric_limits<int64_t>::max()) {
  for (size_t level = 0; level < lines_.size(); ++level) {
    lines_[level] = &metrics.CounterOf(Metric::kLogLines, {level});
  }
  thread_ = std::thread([this] { Run(); });
}

LogWriter::~LogWriter() {
  give_up_at_ = SteadyNanoseconds() + absl::ToInt64Nanoseconds(options_.farewell);
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  arrived_.NotifyOne();
  thread_.join();
}

void LogWriter::Write(LogLevel level, std::string_view event, const ordered_json& fields) {
  if (!Writes(level)) return;
  ordered_json object;
  object["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", options_.now(), absl::UTCTimeZone());
  object["level"] = LogLevelName(level);
  object["event"] = event;
  ordered_json whole = object;
  whole.update(fields);
  std::string text = TextOf(whole);
  if (text.size() > kMostLineBytes) {
    object["truncated"] = true;
    text = TextOf(object);
  }
  if (!Put({level, std::move(text)})) dropped_.Add();
}

bool LogWriter::Put(Line line) {
  MutexLock lock(mutex_);
  if (waiting_.size() >= kMostLines) return false;
  waiting_.push_back(std::move(line));
  arrived_.NotifyOne();
  return true;
}

void LogWriter::Flush() {
  const auto deadline =
      std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(options_.farewell);
  MutexLock lock(mutex_);
  while ((writing_ || !waiting_.empty()) && std::chrono::steady_clock::now() < deadline) {
    idle_.WaitUntil(mutex_, deadline);
  }
}

std::optional<LogWriter::Line> LogWriter::Take() {
  MutexLock lock(mutex_);
  writing_ = false;
  if (waiting_.empty()) idle_.NotifyAll();
  while (waiting_.empty() && !stopping_) arrived_.Wait(mutex_);
  if (waiting_.empty()) return std::nullopt;
  Line line = std::move(waiting_.front());
  waiting_.pop_front();
  writing_ = true;
  return line;
}

void LogWriter::Run() {
  BlockBrokenPipe();
  while (const auto line = Take()) {
    const bool written = WriteOut(line->text);
    (written ? *lines_[static_cast<size_t>(line->level)] : dropped_).Add();
  }
}

bool LogWriter::AwaitReader() const {
  pollfd writable = {options_.fd, POLLOUT, 0};
  while (true) {
    const bool gives_up = SteadyNanoseconds() > give_up_at_;
    const int ready = poll(&writable, 1, gives_up ? 0 : kPollMilliseconds);
    if (ready > 0) return (writable.revents & POLLOUT) != 0;
    if (gives_up || (ready < 0 && errno != EINTR)) return false;
  }
}

bool LogWriter::WriteOut(const std::string& line) const {
  size_t written = 0;
  while (written < line.size()) {
    if (!AwaitReader()) return false;
    const ssize_t more = write(options_.fd, line.data() + written, line.size() - written);
    if (more < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (more <= 0) return false;
    written += static_cast<size_t>(more);
  }
  return true;
}

}  // namespace sinkstream
