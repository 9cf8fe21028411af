#include "engine/kv/disk_park.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <mutex>

#include "tests/fakes/fake_model.h"
#include "tests/scratch_files.h"

namespace sinkstream {
namespace {

using testing::HasSubstr;

class DiskParkTest : public testing::Test {
 protected:
  void SetUp() override {
    park_ = DiskPark::Create({directory_, 10 * model_.Spec().block_bytes}, model_,
                             [this](BlockPark::Outcome outcome) {
                               const std::lock_guard lock(mutex_);
                               outcomes_.push_back(std::move(outcome));
                               changed_.notify_one();
                             })
                .value();
  }

  BlockPark::Outcome Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !outcomes_.empty(); });
    auto outcome = std::move(outcomes_.front());
    outcomes_.erase(outcomes_.begin());
    return outcome;
  }
  void Fill(BlockId block, char value) {
    model_.CopyIn(block, std::vector<char>(block_bytes_, value).data());
  }
  std::string Contents(BlockId block) {
    std::string contents(block_bytes_, '\0');
    model_.CopyOut(block, contents.data());
    return contents;
  }

  FakeModel model_{{}};
  const size_t block_bytes_ = static_cast<size_t>(model_.Spec().block_bytes);
  const ScratchFiles files_;
  const std::string& directory_ = files_.folder();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<BlockPark::Outcome> outcomes_;
  std::unique_ptr<DiskPark> park_;
};

TEST_F(DiskParkTest, GivesBackWhatItTookIntoOtherBlocks) {
  Fill(3, 'a');
  Fill(5, 'b');
  const auto a = Contents(3), b = Contents(5);
  const auto ticket = park_->Save({3, 5});
  EXPECT_TRUE(Await().status.ok());
  Fill(3, 'x');
  Fill(5, 'y');
  park_->Load(ticket, {7, 3});
  const auto outcome = Await();
  EXPECT_TRUE(outcome.status.ok());
  EXPECT_EQ(outcome.ticket, ticket);
  EXPECT_EQ(Contents(7), a);
  EXPECT_EQ(Contents(3), b);
}

// The file has no name: it is found among the open ones.
TEST_F(DiskParkTest, ACopyThatHasChangedIsLost) {
  const auto ticket = park_->Save({3, 5});
  ASSERT_TRUE(Await().status.ok());
  int changed = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.compare(0, directory_.size(), directory_) != 0) continue;
    const int file = std::stoi(entry.path().filename().string());
    changed += pwrite(file, "x", 1, static_cast<off_t>(block_bytes_) + 7) == 1 ? 1 : 0;
  }
  ASSERT_EQ(changed, 1);
  park_->Load(ticket, {3, 5});
  const auto status = Await().status;
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("not what was written"));
}

TEST_F(DiskParkTest, TakesNoMoreThanItsRoomAndLeavesNoNameBehind) {
  EXPECT_TRUE(park_->HasRoom(1, 10));
  EXPECT_FALSE(park_->HasRoom(1, 11));
  const auto ticket = park_->Save({1, 2, 3});
  EXPECT_FALSE(park_->HasRoom(1, 8));
  Await();
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  park_->Drop(ticket);
  EXPECT_TRUE(park_->HasRoom(1, 10));
}

TEST_F(DiskParkTest, ASessionWithoutBlocksIsKeptToo) {
  const auto ticket = park_->Save({});
  EXPECT_TRUE(Await().status.ok());
  park_->Load(ticket, {});
  EXPECT_TRUE(Await().status.ok());
}

TEST_F(DiskParkTest, ADirectoryThatTakesNoFilesIsRefused) {
  const auto park = DiskPark::Create({directory_ + "/none", 1000}, model_, [](auto) {});
  EXPECT_EQ(park.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(park.status().message()), HasSubstr("park_directory"));
}

TEST_F(DiskParkTest, AFileThatCannotBeMadeIsToldForASessionWithoutBlocksToo) {
  std::filesystem::remove_all(directory_);
  const auto ticket = park_->Save({});
  EXPECT_EQ(Await().status.code(), absl::StatusCode::kResourceExhausted);
  park_->Drop(ticket);
}

TEST_F(DiskParkTest, TheFilesOfTheProcessAreNotAllItsOwn) {
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few = {64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  const auto park = DiskPark::Create({directory_, 1 << 30}, model_, [](auto) {}).value();
  setrlimit(RLIMIT_NOFILE, &before);
  for (size_t left = 32; left > 0; --left) {
    EXPECT_TRUE(park->HasRoom(left, 0));
    EXPECT_FALSE(park->HasRoom(left + 1, 0));
    park->Save({});
  }
  EXPECT_TRUE(park->HasRoom(0, 0)) << "one that comes back makes room for one that goes";
}

TEST_F(DiskParkTest, AFullDiskIsTold) {
  struct Limit {
    Limit() {
      signal(SIGXFSZ, SIG_IGN);
      getrlimit(RLIMIT_FSIZE, &before);
      const rlimit none = {100, before.rlim_max};
      setrlimit(RLIMIT_FSIZE, &none);
    }
    ~Limit() { setrlimit(RLIMIT_FSIZE, &before); }
    rlimit before;
  };
  {
    const Limit limit;
    const auto ticket = park_->Save({1, 2});
    const auto outcome = Await();
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(outcome.status.message()), HasSubstr(directory_));
    park_->Drop(ticket);
  }
  park_->Save({1, 2});
  EXPECT_TRUE(Await().status.ok());
}

TEST_F(DiskParkTest, EndsWhileItWorks) {
  for (int i = 0; i < 3; ++i) park_->Save({1, 2, 3});
  park_.reset();
}

}  // namespace
}  // namespace sinkstream
