#include "server/process/grpc_log.h"

#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace sinkstream {
namespace {

// What it finds stays for the rest of the process: each case has one of its own, which ends with 0
// if the port is deaf. `verbosity`: null: not asked for.
[[noreturn]] void Log(const char* verbosity, const char* message) {
  unsetenv("GRPC_VERBOSITY");
  if (verbosity != nullptr) setenv("GRPC_VERBOSITY", verbosity, /*overwrite=*/1);
  gpr_log_verbosity_init();  // as gRPC does at its start
  TakeGrpcLog();
  gpr_log(GPR_ERROR, "%s", message);
  std::_Exit(WhyPortIsDeaf() == "Too many open files" ? 0 : 1);
}

constexpr char kFailedAccept[] = "Failed accept4: Too many open files";

TEST(GrpcLogDeathTest, AFailedAcceptTellsADeafPort) {
  EXPECT_EXIT(Log(nullptr, kFailedAccept), testing::ExitedWithCode(0), "^$");
}

TEST(GrpcLogDeathTest, NothingElseDoes) {
  EXPECT_EXIT(Log(nullptr, "Handshake failed"), testing::ExitedWithCode(1), "^$");
  const char later[] = "File descriptor limit reached. Retrying.";  // of later versions
  EXPECT_EXIT(Log(nullptr, later), testing::ExitedWithCode(1), "^$");
}

TEST(GrpcLogDeathTest, IsWatchedWhereItIsNotToBePrinted) {
  EXPECT_EXIT(Log("NONE", kFailedAccept), testing::ExitedWithCode(0), "^$");
}

TEST(GrpcLogDeathTest, IsPrintedWhereItIsAskedFor) {
  EXPECT_EXIT(Log("error", kFailedAccept), testing::ExitedWithCode(0),
              "grpc_log_test.cc:[0-9]+. Failed accept4: Too many open files");
}

}  // namespace
}  // namespace sinkstream
