#include "server/wire/status.h"

#include <gtest/gtest.h>

#include "engine/errors.h"
#include "google/rpc/error_details.pb.h"

namespace sinkstream {
namespace {

template <typename Detail>
Detail Unpacked(const google::rpc::Status& status, int index) {
  Detail detail;
  EXPECT_TRUE(index < status.details_size() && status.details(index).UnpackTo(&detail));
  return detail;
}

TEST(ToRpcStatus, AFieldBecomesABadRequest) {
  const auto rpc = ToRpcStatus(InvalidField("turn.text", "is empty"));
  EXPECT_EQ(rpc.code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(rpc.message(), "turn.text: is empty");
  ASSERT_EQ(rpc.details_size(), 1);
  const auto bad_request = Unpacked<google::rpc::BadRequest>(rpc, 0);
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "turn.text");
  EXPECT_EQ(bad_request.field_violations(0).description(), "turn.text: is empty");
}

TEST(ToRpcStatus, WantBecomesRetryInfoAndErrorInfo) {
  const auto rpc = ToRpcStatus(Exhausted(Refusal::kKvMemory, "no room", absl::Milliseconds(2500)));
  EXPECT_EQ(rpc.code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  ASSERT_EQ(rpc.details_size(), 2);
  const auto retry = Unpacked<google::rpc::RetryInfo>(rpc, 0);
  EXPECT_EQ(retry.retry_delay().seconds(), 2);
  EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
  const auto info = Unpacked<google::rpc::ErrorInfo>(rpc, 1);
  EXPECT_EQ(info.reason(), "KV_MEMORY");
  EXPECT_EQ(info.domain(), "sinkstream");
}

TEST(ToRpcStatus, AShutdownSaysWhenToTryAgain) {
  const auto rpc = ToRpcStatus(ShuttingDown());
  EXPECT_EQ(rpc.code(), static_cast<int>(absl::StatusCode::kUnavailable));
  ASSERT_EQ(rpc.details_size(), 2);
  EXPECT_EQ(Unpacked<google::rpc::RetryInfo>(rpc, 0).retry_delay().seconds(), 1);
  EXPECT_EQ(Unpacked<google::rpc::ErrorInfo>(rpc, 1).reason(), "SHUTTING_DOWN");
}

TEST(ToRpcStatus, WhatIsInsideStaysInside) {
  for (const absl::Status& status :
       {absl::InternalError("block 17 at /home/x"), absl::UnknownError("block 17 at /home/x")}) {
    const auto rpc = ToRpcStatus(status);
    EXPECT_EQ(rpc.code(), status.raw_code());
    EXPECT_EQ(rpc.message(), "internal error");
    EXPECT_EQ(rpc.details_size(), 0);
  }
}

TEST(ToGrpcStatus, CarriesTheDetailsForTheTrailers) {
  const grpc::Status status = ToGrpcStatus(InvalidField("open.window", "is 0"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "open.window: is 0");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  EXPECT_EQ(details.message(), status.error_message());
  EXPECT_EQ(details.details_size(), 1);
}

TEST(ToGrpcStatus, SendsNoDetailsWhereThereAreNone) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const grpc::Status status = ToGrpcStatus(absl::AbortedError("taken over"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "taken over");
  EXPECT_EQ(status.error_details(), "");
}

}  // namespace
}  // namespace sinkstream
