#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/process/version.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;

class Unary : public testing::Test {
 protected:
  Unary() { SetDeadline(context_); }
  ChatServer server_;
  grpc::ClientContext context_;
};

TEST_F(Unary, GetModelTellsModelDefaultsAndLimits) {
  v1::GetModelResponse model;
  ASSERT_TRUE(server_.stub().GetModel(&context_, {}, &model).ok());
  EXPECT_EQ(model.name(), "fake");
  EXPECT_EQ(model.weight_dtype(), "float32");
  EXPECT_EQ(model.kv_dtype(), "float32");
  EXPECT_EQ(model.vocab_size(), kFakeVocabSize);
  EXPECT_EQ(model.trained_context(), 4096);
  EXPECT_EQ(model.chat_format(), "fake");
  EXPECT_EQ(model.isa(), "portable");
  EXPECT_EQ(model.server_version(), kServerVersion);
  EXPECT_EQ(model.defaults().sinks(), 2);
  EXPECT_EQ(model.defaults().window(), 64);
  EXPECT_EQ(model.defaults().sampling().max_tokens(), 1024);
  EXPECT_FALSE(model.defaults().sampling().has_seed());
  EXPECT_EQ(model.limits().max_queued_requests(), 8);
  EXPECT_EQ(model.limits().max_message_bytes(), 1 << 20);
  Conversation chat(server_);
  EXPECT_EQ(model.kv_bytes_per_session(), chat.Open().kv_bytes());
}

TEST_F(Unary, TokenizeGivesIds) {
  v1::TokenizeRequest request;
  request.set_text("ab");
  v1::TokenizeResponse response;
  ASSERT_TRUE(server_.stub().Tokenize(&context_, request, &response).ok());
  EXPECT_EQ(std::vector<int>(response.token_ids().begin(), response.token_ids().end()),
            (std::vector<int>{'a', 'b'}));
}

TEST_F(Unary, TokenizeRefusesEmptyAndOversizedText) {
  for (const size_t size : {size_t{0}, size_t{(256 << 10) + 1}}) {
    grpc::ClientContext context;
    v1::TokenizeRequest request;
    request.set_text(std::string(size, 'x'));
    v1::TokenizeResponse response;
    const grpc::Status status = server_.stub().Tokenize(&context, request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message().rfind("text: is ", 0), 0u) << status.error_message();
    EXPECT_FALSE(status.error_details().empty());
  }
}

TEST_F(Unary, DetokenizeGivesTextWithoutSpecialTokens) {
  v1::DetokenizeRequest request;
  for (const int id : {int{kTurnToken}, int{'a'}, 0xc3, 0xa9, 0xff, int{kEndToken}}) {
    request.add_token_ids(id);
  }
  v1::DetokenizeResponse response;
  ASSERT_TRUE(server_.stub().Detokenize(&context_, request, &response).ok());
  EXPECT_EQ(response.text(), "aé\xef\xbf\xbd");
}

TEST_F(Unary, DetokenizeOfNothingIsNothing) {
  v1::DetokenizeResponse response;
  ASSERT_TRUE(server_.stub().Detokenize(&context_, {}, &response).ok());
  EXPECT_EQ(response.text(), "");
}

TEST_F(Unary, DetokenizeRefusesAnIdOutOfTheVocabulary) {
  v1::DetokenizeRequest request;
  request.add_token_ids(1);
  request.add_token_ids(kFakeVocabSize);
  v1::DetokenizeResponse response;
  const grpc::Status status = server_.stub().Detokenize(&context_, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "token_ids[1]: is 259; must be in [0, 259)");
}

}  // namespace
}  // namespace sinkstream
