#include "engine/torch/available_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

namespace sinkstream {
namespace {

class AvailableMemoryTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  const std::string root_ = testing::TempDir() + "/available_memory";

 private:
  void SetUp() override { std::filesystem::remove_all(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }
};

TEST_F(AvailableMemoryTest, IsWhatTheSystemHasToSpare) {
  Write("/proc/meminfo", "MemTotal:  900 kB\nMemFree:  5 kB\nMemAvailable:   700 kB\n");
  Write("/sys/fs/cgroup/memory.max", "max\n");
  Write("/sys/fs/cgroup/memory.current", "1000\n");
  EXPECT_EQ(AvailableMemory(root_), 700 * 1024);
}

TEST_F(AvailableMemoryTest, IsWhatTheControlGroupLeavesIfThatIsLess) {
  Write("/proc/meminfo", "MemAvailable:   700 kB\n");
  Write("/sys/fs/cgroup/memory.max", "5000\n");
  Write("/sys/fs/cgroup/memory.current", "2000\n");
  EXPECT_EQ(AvailableMemory(root_), 3000);
  Write("/sys/fs/cgroup/memory.current", "6000\n");
  EXPECT_EQ(AvailableMemory(root_), 0);
}

TEST_F(AvailableMemoryTest, IsUnboundedWhereNothingIsSaid) {
  EXPECT_EQ(AvailableMemory(root_), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace sinkstream
