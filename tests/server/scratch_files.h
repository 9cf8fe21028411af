// ScratchFiles: a folder of a test's own, gone with it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sinkstream {

class ScratchFiles {
 public:
  ScratchFiles() {
    std::string folder = testing::TempDir() + "sinkstream-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  ~ScratchFiles() { std::filesystem::remove_all(folder_); }
  ScratchFiles(const ScratchFiles&) = delete;
  ScratchFiles& operator=(const ScratchFiles&) = delete;

  std::string Path(const std::string& name) const { return folder_ / name; }
  // Replaces the file at once, as one should; only its owner may read it. Its path.
  std::string Write(const std::string& name, const std::string& content) const {
    const std::string fresh = Path(name + ".new");
    std::ofstream(fresh, std::ios::binary) << content;
    namespace fs = std::filesystem;
    fs::permissions(fresh, fs::perms::owner_read | fs::perms::owner_write);
    fs::rename(fresh, Path(name));
    return Path(name);
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace sinkstream
