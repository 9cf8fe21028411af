#include "client/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace sinkstream {
namespace {

// Waits for either; which of the two is ready. A descriptor of -1 never is.
std::array<bool, 2> WaitForEither(int first, int second) {
  std::array<pollfd, 2> waited = {pollfd{first, POLLIN, 0}, pollfd{second, POLLIN, 0}};
  while (poll(waited.data(), waited.size(), -1) < 0 && errno == EINTR) {
  }
  return {waited[0].revents != 0, waited[1].revents != 0};
}

void TakeOne(int descriptor) {
  std::array<char, sizeof(signalfd_siginfo)> taken = {};
  if (read(descriptor, taken.data(), taken.size()) < 0) return;  // another reader was faster
}

}  // namespace

int RouteInterrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

bool LineReader::Fill() {
  const auto [has_input, has_interrupt] = WaitForEither(input_, interrupts_);
  if (has_interrupt) {
    TakeOne(interrupts_);
    buffer_.clear();
    return false;
  }
  if (!has_input) return false;
  std::array<char, 4096> bytes = {};
  const ssize_t count = read(input_, bytes.data(), bytes.size());
  if (count < 0) return errno == EINTR;
  buffer_.append(bytes.data(), static_cast<size_t>(count));
  return count > 0;
}

std::optional<std::string> LineReader::Next() {
  bool more = true;
  size_t end = buffer_.find('\n');
  while (end == std::string::npos && more) {
    const size_t searched = buffer_.size();
    more = Fill();
    end = buffer_.find('\n', searched);
  }
  if (end == std::string::npos && buffer_.empty()) return std::nullopt;
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end == std::string::npos ? end : end + 1);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

InterruptWatch::InterruptWatch(int interrupts, std::function<void(int)> on_interrupt)
    : interrupts_(interrupts),
      on_interrupt_(std::move(on_interrupt)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { Watch(); }) {}

InterruptWatch::~InterruptWatch() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
}

void InterruptWatch::Watch() {
  for (int number = 1;; ++number) {
    const auto [interrupted, stopped] = WaitForEither(interrupts_, stop_);
    if (stopped || !interrupted) return;
    TakeOne(interrupts_);
    on_interrupt_(number);
  }
}

}  // namespace sinkstream
