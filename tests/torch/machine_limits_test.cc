#include "engine/torch/machine_limits.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "tests/scratch_files.h"

namespace sinkstream {
namespace {

// A machine whose files are those written here. The processors the process may run on are real.
class MachineLimitsTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void WriteGroup(const std::string& folder, const std::string& most, const std::string& used,
                  const std::string& stat = "") {
    Write("/sys/fs/cgroup" + folder + "/memory.max", most);
    Write("/sys/fs/cgroup" + folder + "/memory.current", used);
    if (!stat.empty()) Write("/sys/fs/cgroup" + folder + "/memory.stat", stat);
  }

  const ScratchFiles files_;
  const std::string& root_ = files_.folder();
};

using AvailableMemoryTest = MachineLimitsTest;

TEST_F(AvailableMemoryTest, IsWhatTheSystemHasToSpare) {
  Write("/proc/meminfo", "MemTotal:  900 kB\nMemFree:  5 kB\nMemAvailable:   700 kB\n");
  Write("/proc/self/cgroup", "0::/\n");
  WriteGroup("", "max\n", "1000\n");
  EXPECT_EQ(AvailableMemory(root_), 700 * 1024);
}

TEST_F(AvailableMemoryTest, IsWhatTheControlGroupLeavesIfThatIsLess) {
  Write("/proc/meminfo", "MemAvailable:   700 kB\n");
  Write("/proc/self/cgroup", "0::/\n");
  WriteGroup("", "5000\n", "2000\n");
  EXPECT_EQ(AvailableMemory(root_), 3000);
  WriteGroup("", "5000\n", "6000\n");
  EXPECT_EQ(AvailableMemory(root_), 0);
}

TEST_F(AvailableMemoryTest, AGroupMayHaveTwoDotsInItsName) {
  Write("/proc/self/cgroup", "0::/a..b\n");
  WriteGroup("/a..b", "9000\n", "1000\n");
  EXPECT_EQ(AvailableMemory(root_), 8000);
}

TEST_F(AvailableMemoryTest, IsTheLeastThatAnyGroupAroundTheProcessLeaves) {
  Write("/proc/self/cgroup", "0::/system.slice/sinkstream.service\n");
  WriteGroup("/system.slice/sinkstream.service", "9000\n", "1000\n");
  EXPECT_EQ(AvailableMemory(root_), 8000);
  WriteGroup("/system.slice", "9000\n", "4000\n");
  EXPECT_EQ(AvailableMemory(root_), 5000);
  WriteGroup("", "7000\n", "4000\n");
  EXPECT_EQ(AvailableMemory(root_), 3000);
  WriteGroup("/other.slice", "10\n", "10\n");
  EXPECT_EQ(AvailableMemory(root_), 3000);
}

TEST_F(AvailableMemoryTest, CountsFilePagesThatTheSystemTakesBackAsFree) {
  Write("/proc/self/cgroup", "0::/box\n");
  WriteGroup("/box", "5000\n", "4500\n", "anon 1000\nfile 3500\ninactive_file 3000\n");
  EXPECT_EQ(AvailableMemory(root_), 3500);
  WriteGroup("/box", "5000\n", "2000\n");
  EXPECT_EQ(AvailableMemory(root_), 5000);
}

TEST_F(AvailableMemoryTest, IsLimitedByAGroupOfTheFirstVersionToo) {
  Write("/proc/self/cgroup", "4:memory:/box/inner\n1:cpu,cpuacct:/\n0::/\n");
  const std::string box = "/sys/fs/cgroup/memory/box";
  Write(box + "/memory.limit_in_bytes", "5000\n");
  Write(box + "/memory.usage_in_bytes", "4000\n");
  Write(box + "/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  Write(box + "/inner/memory.limit_in_bytes", "9223372036854771712\n");
  Write(box + "/inner/memory.usage_in_bytes", "4000\n");
  EXPECT_EQ(AvailableMemory(root_), 1500);
}

TEST_F(AvailableMemoryTest, IsThatOfTheMountWhereTheGroupsPathLiesOutside) {
  Write("/proc/self/cgroup", "0::/../neighbour\n");
  WriteGroup("", "7000\n", "4000\n");
  WriteGroup("/../neighbour", "10\n", "10\n");
  EXPECT_EQ(AvailableMemory(root_), 3000);
}

TEST_F(AvailableMemoryTest, IsUnboundedWhereNothingIsSaid) {
  EXPECT_EQ(AvailableMemory(root_), std::numeric_limits<int64_t>::max());
}

// While it lives, this thread may run on one processor alone.
class OneProcessor {
 public:
  OneProcessor() {
    sched_getaffinity(0, sizeof before_, &before_);
    int processor = 0;
    while (!CPU_ISSET(processor, &before_)) ++processor;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneProcessor() { sched_setaffinity(0, sizeof before_, &before_); }
  int before() const { return CPU_COUNT(&before_); }

 private:
  cpu_set_t before_ = {};
};

using AvailableProcessorsTest = MachineLimitsTest;

TEST_F(AvailableProcessorsTest, AreThoseTheProcessMayRunOn) {
  const OneProcessor one;
  EXPECT_EQ(AvailableProcessors(root_), 1);
}

TEST_F(AvailableProcessorsTest, AreAllWhereNothingIsSaid) {
  const int all = OneProcessor().before();
  Write("/proc/self/cgroup", "1:cpu:/\n0::/box\n");
  Write("/sys/fs/cgroup/box/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(AvailableProcessors(root_), all);
}

TEST_F(AvailableProcessorsTest, AreTheSmallestQuotaRoundedUp) {
  if (OneProcessor().before() < 2) GTEST_SKIP() << "one processor alone";
  Write("/proc/self/cgroup", "0::/box/inner\n");
  Write("/sys/fs/cgroup/box/inner/cpu.max", "900000 100000\n");
  Write("/sys/fs/cgroup/box/cpu.max", "150000 100000\n");
  EXPECT_EQ(AvailableProcessors(root_), 2);
  Write("/sys/fs/cgroup/box/cpu.max", "100000 100000\n");
  EXPECT_EQ(AvailableProcessors(root_), 1);
  Write("/sys/fs/cgroup/box/cpu.max", "1000 100000\n");
  EXPECT_EQ(AvailableProcessors(root_), 1);
}

TEST_F(AvailableProcessorsTest, AreLimitedByAGroupOfTheFirstVersionToo) {
  Write("/proc/self/cgroup", "1:cpu,cpuacct:/box\n");
  Write("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
  Write("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(AvailableProcessors(root_), 1);
}

}  // namespace
}  // namespace sinkstream
