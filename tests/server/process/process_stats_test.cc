#include "server/process/process_stats.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <latch>
#include <thread>

namespace sinkstream {
namespace {

TEST(ProcessStats, AreThoseOfThisProcess) {
  const auto stats = ReadProcessStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_GT(stats->resident_bytes, 1 << 20);
  EXPECT_GT(stats->virtual_bytes, stats->resident_bytes);
  EXPECT_GE(stats->threads, 1);
  EXPECT_GT(stats->max_fds, stats->open_fds);
  EXPECT_LT(stats->start_seconds, static_cast<double>(std::time(nullptr)) + 2);
  EXPECT_GT(stats->start_seconds, static_cast<double>(std::time(nullptr)) - 24 * 3600);
}

TEST(ProcessStats, TellTheResidentBytesByThemselves) {
  const auto bytes = ReadResidentBytes();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_GT(*bytes, 1 << 20);
  EXPECT_LT(*bytes, ReadProcessStats()->virtual_bytes);
}

TEST(ProcessStats, CountADescriptorMore) {
  const int before = ReadProcessStats()->open_fds;
  const int fd = open("/dev/null", O_RDONLY);
  EXPECT_EQ(ReadProcessStats()->open_fds, before + 1);
  close(fd);
  EXPECT_EQ(ReadProcessStats()->open_fds, before);
}

TEST(ProcessStats, CountAThreadMore) {
  std::latch end(1);
  std::thread first([&] { end.wait(); });  // beside the first one a sanitizer starts its own
  const int before = ReadProcessStats()->threads;
  int within = 0;
  std::thread another([&] { within = ReadProcessStats()->threads; });
  another.join();
  EXPECT_EQ(within, before + 1);
  end.count_down();
  first.join();
}

TEST(ProcessStats, CountCpuTimeAsItIsSpent) {
  const double before = ReadProcessStats()->cpu_seconds;
  const std::clock_t begun = std::clock();
  while (std::clock() - begun < CLOCKS_PER_SEC / 20) {
  }
  EXPECT_GT(ReadProcessStats()->cpu_seconds, before + 0.02);
}

}  // namespace
}  // namespace sinkstream
