// ScratchFiles: a folder of a test's own, gone with it. Tests run side by side, each in a process:
// a name that two of them share in the folder of temporary files is a race.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sinkstream {

class ScratchFiles {
 public:
  ScratchFiles() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }
  ~ScratchFiles() { std::filesystem::remove_all(folder_); }
  ScratchFiles(const ScratchFiles&) = delete;
  ScratchFiles& operator=(const ScratchFiles&) = delete;

  const std::string& folder() const { return folder_; }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
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
  std::string folder_ = testing::TempDir() + "sinkstream-XXXXXX";
};

}  // namespace sinkstream
