#include "server/process/grpc_log.h"

#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace sinkstream {
namespace {

// What it finds stays for the rest of the process: each test has one of its own.

TEST(GrpcLogDeathTest, AFailedAcceptTellsADeafPort) {
  EXPECT_EXIT(
      {
        TakeGrpcLog();
        gpr_log(GPR_ERROR, "Failed accept4: %s", "Too many open files");
        std::_Exit(PortIsDeaf() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "^$");
}

TEST(GrpcLogDeathTest, NothingElseDoes) {
  EXPECT_EXIT(
      {
        TakeGrpcLog();
        gpr_log(GPR_ERROR, "Handshake failed");
        gpr_log(GPR_ERROR, "File descriptor limit reached. Retrying.");  // of later versions
        std::_Exit(PortIsDeaf() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "^$");
}

TEST(GrpcLogDeathTest, IsPrintedWhereItIsAskedFor) {
  EXPECT_EXIT(
      {
        setenv("GRPC_VERBOSITY", "ERROR", /*overwrite=*/1);
        gpr_log_verbosity_init();  // as gRPC does at its start
        TakeGrpcLog();
        gpr_log(GPR_ERROR, "Failed accept4: %s", "Too many open files");
        std::_Exit(PortIsDeaf() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "grpc_log_test.cc:[0-9]+. Failed accept4: Too many open files");
}

}  // namespace
}  // namespace sinkstream
