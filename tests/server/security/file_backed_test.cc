#include "server/security/file_backed.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "tests/scratch_files.h"

namespace sinkstream {
namespace {

class FileBackedTest : public testing::Test {
 protected:
  const ScratchFiles files_;
  const std::string path_ = files_.Write("value", "1");
  absl::Status fault_;  // what reading comes to
  int loads_ = 0;
  FileBacked<std::string> value_{{path_}, [this]() -> absl::StatusOr<std::string> {
                                   ++loads_;
                                   if (!fault_.ok()) return fault_;
                                   return *ReadSmallFile(path_);
                                 }};
};

TEST_F(FileBackedTest, IsReadOnceForEachChange) {
  EXPECT_EQ(value_.Get(), nullptr);
  EXPECT_TRUE(value_.Refresh().value());
  EXPECT_FALSE(value_.Refresh().value());
  files_.Write("value", "2");
  EXPECT_TRUE(value_.Refresh().value());
  EXPECT_EQ(*value_.Get(), "2");
  EXPECT_EQ(loads_, 2);
}

TEST_F(FileBackedTest, WhatCouldNotBeReadForAWhileIsReadAgain) {
  fault_ = absl::InvalidArgumentError("too many open files");
  EXPECT_EQ(value_.Refresh().status(), fault_);
  fault_ = absl::OkStatus();
  ASSERT_TRUE(value_.Refresh().value()) << "the files are as they were";
  EXPECT_EQ(*value_.Get(), "1");
}

TEST_F(FileBackedTest, AnErrorIsToldOnce) {
  fault_ = absl::InvalidArgumentError("too many open files");
  EXPECT_FALSE(value_.Refresh().ok());
  EXPECT_FALSE(value_.Refresh().value());
  fault_ = absl::InvalidArgumentError("input/output error");
  EXPECT_EQ(value_.Refresh().status(), fault_) << "another one";
  files_.Write("value", "2");
  EXPECT_EQ(value_.Refresh().status(), fault_) << "of other files";
  EXPECT_FALSE(value_.Refresh().value());
}

TEST_F(FileBackedTest, AnErrorThatComesAgainIsToldAgain) {
  EXPECT_TRUE(value_.Refresh().value());
  for (int round = 0; round < 2; ++round) {
    files_.Write("value", "2");
    fault_ = absl::InvalidArgumentError("input/output error");
    EXPECT_FALSE(value_.Refresh().ok());
    fault_ = absl::OkStatus();
    EXPECT_TRUE(value_.Refresh().value());
  }
}

}  // namespace
}  // namespace sinkstream
