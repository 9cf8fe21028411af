#include "server/process/descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace sinkstream {
namespace {

TEST(Descriptors, AClosedStandardInputIsReplacedByNothing) {
  const int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
  close(STDIN_FILENO);
  OpenStandardDescriptors();
  char none = 0;
  EXPECT_EQ(read(STDIN_FILENO, &none, 1), 0);
  const int next = open("/dev/null", O_RDONLY);
  EXPECT_GT(next, STDERR_FILENO);
  close(next);
  dup2(kept, STDIN_FILENO);
  close(kept);
}

TEST(Descriptors, AsManyFilesAsMayBeAskedFor) {
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few = {64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  RaiseFileLimit();
  rlimit after = {};
  getrlimit(RLIMIT_NOFILE, &after);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace sinkstream
