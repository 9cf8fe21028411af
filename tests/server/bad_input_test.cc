// Bad input over the wire: each gets its code and a message naming field and limit, and no other
// session notices.
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;

// The fixture keeps a neighbour who talks before and after.
class BadInput : public testing::Test {
 protected:
  BadInput() { neighbour_.Open(); }
  ~BadInput() override { EXPECT_EQ(neighbour_.Ask("turn { text: 'still there?' }").text, "hello"); }

  // How a stream ends whose first messages are these.
  grpc::Status EndOf(const std::vector<std::string>& requests) {
    Conversation chat(server_);
    for (const std::string& request : requests) chat.Send(request);
    return chat.Finish();
  }

  // The refusal of `request` in a new session, which then goes on.
  google::rpc::Status RefusalOf(const std::string& request) {
    Conversation chat(server_);
    chat.Open();
    const Answer answer = chat.Ask(request);
    EXPECT_TRUE(answer.failed.has_value()) << request;
    EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello") << "after " << request;
    return answer.failed.value_or(v1::RequestFailed()).status();
  }

  ChatServer server_;
  Conversation neighbour_{server_};
};

std::string BadField(const google::rpc::Status& status) {
  for (const auto& detail : status.details()) {
    google::rpc::BadRequest bad_request;
    if (detail.UnpackTo(&bad_request)) return bad_request.field_violations(0).field();
  }
  return "";
}

std::string BadField(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return BadField(details);
}

TEST_F(BadInput, FirstMessageIsNotOpen) {
  for (const char* first :
       {"turn { text: 'hi' }", "append { text: 'hi' }", "cancel {}", "close {}"}) {
    const grpc::Status status = EndOf({first});
    EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION) << first;
    EXPECT_EQ(status.error_message(), "open: must be the first message");
  }
}

TEST_F(BadInput, SecondOpen) {
  EXPECT_EQ(EndOf({"open {}", "open {}"}).error_code(), StatusCode::FAILED_PRECONDITION);
}

TEST_F(BadInput, NoEvent) {
  for (const auto& requests : {std::vector<std::string>{""}, {"open {}", ""}}) {
    const grpc::Status status = EndOf(requests);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(BadField(status), "event");
  }
}

TEST_F(BadInput, SessionIdThatIsNone) {
  for (const std::string id : {"x", "0123456789abcdef0123456789abcdef", "../etc/passwd"}) {
    EXPECT_EQ(EndOf({"open { session_id: '" + id + "' }"}).error_code(), StatusCode::NOT_FOUND);
  }
}

TEST_F(BadInput, SessionIdWithSettings) {
  const grpc::Status status =
      EndOf({"open { session_id: '0123456789abcdef0123456789abcdef' sinks: 4 }"});
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(BadField(status), "open.session_id");
}

TEST_F(BadInput, SettingsOutOfRange) {
  const struct {
    const char* fields;
    const char* field;
  } cases[] = {
      {"sinks: -1", "open.sinks"},
      {"window: 0", "open.window"},
      {"window: 4096", "open.window"},
      {"window: 9223372036854775807", "open.window"},
      {"idle_timeout { seconds: -1 }", "open.idle_timeout"},
      {"idle_timeout { seconds: 86401 }", "open.idle_timeout"},
      {"idle_timeout { seconds: 1 nanos: -5 }", "open.idle_timeout"},
      {"sampling { top_p: 2 }", "open.sampling.top_p"},
  };
  for (const auto& c : cases) {
    const grpc::Status status = EndOf({"open { " + std::string(c.fields) + " }"});
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << c.fields;
    EXPECT_EQ(BadField(status), c.field) << status.error_message();
  }
}

TEST_F(BadInput, SystemPromptOverTheLimit) {
  const grpc::Status status =
      EndOf({"open { system_prompt: '" + std::string((256 << 10) + 1, 'x') + "' }"});
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(BadField(status), "open.system_prompt");
}

TEST_F(BadInput, RequestsThatAreRefusedInBand) {
  const struct {
    std::string request;
    const char* field;
  } cases[] = {
      {"turn {}", "turn.input"},
      {"turn { text: '' }", "turn.text"},
      {"turn { text: '" + std::string((256 << 10) + 1, 'x') + "' }", "turn.text"},
      {"turn { raw_text: '' }", "turn.raw_text"},
      {"turn { token_ids {} }", "turn.token_ids.ids"},
      {"turn { token_ids { ids: [1, 259] } }", "turn.token_ids.ids[1]"},
      {"turn { token_ids { ids: -1 } }", "turn.token_ids.ids[0]"},
      {"append {}", "append.input"},
      {"append { text: '' }", "append.text"},
      {"append { token_ids { ids: 259 } }", "append.token_ids.ids[0]"},
      {"turn { text: 'x' sampling { temperature: nan } }", "turn.sampling.temperature"},
      {"turn { text: 'x' sampling { temperature: -1 } }", "turn.sampling.temperature"},
      {"turn { text: 'x' sampling { temperature: inf } }", "turn.sampling.temperature"},
      {"turn { text: 'x' sampling { top_k: -1 } }", "turn.sampling.top_k"},
      {"turn { text: 'x' sampling { top_p: 0 } }", "turn.sampling.top_p"},
      {"turn { text: 'x' sampling { min_p: 1 } }", "turn.sampling.min_p"},
      {"turn { text: 'x' sampling { repetition_penalty: 0 } }", "turn.sampling.repetition_penalty"},
      {"turn { text: 'x' sampling { max_tokens: 0 } }", "turn.sampling.max_tokens"},
      {"turn { text: 'x' sampling { max_tokens: 16385 } }", "turn.sampling.max_tokens"},
      {"turn { text: 'x' sampling { top_logprobs: 21 } }", "turn.sampling.top_logprobs"},
      {"turn { text: 'x' sampling { stop_tokens: 259 } }", "turn.sampling.stop_tokens"},
      {"turn { text: 'x' sampling { stop_strings: '' } }", "turn.sampling.stop_strings"},
  };
  for (const auto& c : cases) {
    const google::rpc::Status status = RefusalOf(c.request);
    EXPECT_EQ(status.code(), StatusCode::INVALID_ARGUMENT) << c.field;
    EXPECT_EQ(BadField(status), c.field) << status.message();
    EXPECT_EQ(status.message().rfind(c.field, 0), 0u) << status.message();
  }
}

TEST_F(BadInput, RefusalsCarryTheNumberOfTheirRequest) {
  Conversation chat(server_);
  chat.Open();
  EXPECT_EQ(chat.Ask("turn { request_id: 41 }").failed->request_id(), 41u);
  EXPECT_EQ(chat.Ask("append { request_id: 42 }").failed->request_id(), 42u);
}

TEST_F(BadInput, ATurnWhileOneRuns) {
  Conversation chat(server_);
  chat.Open();
  chat.Send(
      "turn { request_id: 1 text: 'hi' sampling { max_tokens: 16000 ignore_end_of_turn: true } }");
  chat.Send("turn { request_id: 2 text: 'me too' }");
  std::optional<v1::RequestFailed> failed;
  std::optional<v1::TurnDone> done;
  while (!failed || !done) {
    const auto response = chat.Read();
    ASSERT_TRUE(response.has_value());
    if (response->has_failed()) {
      failed = response->failed();
      chat.Send("cancel {}");  // the first one runs until then
    }
    if (response->has_turn_done()) done = response->turn_done();
  }
  EXPECT_EQ(failed->request_id(), 2u);
  EXPECT_EQ(failed->status().code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(done->request_id(), 1u);
}

TEST_F(BadInput, AModelFailureEndsTheTurnWithoutItsInsides) {
  Conversation chat(server_);
  chat.Open();
  server_.model().FailNextStep();
  const Answer answer = chat.Ask("turn { text: 'hi' }");
  ASSERT_TRUE(answer.failed.has_value());
  EXPECT_EQ(answer.failed->status().code(), StatusCode::INTERNAL);
  EXPECT_EQ(answer.failed->status().message(), "internal error");
}

TEST_F(BadInput, AMessageOverTheTransportsLimit) {
  Conversation chat(server_);
  chat.Open();
  chat.Send("turn { text: '" + std::string(2 << 20, 'x') + "' }");
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

// Inflating it would take the memory of as many bytes as its sender likes.
TEST_F(BadInput, ACompressedMessageIsNotInflated) {
  v1::TokenizeRequest request;
  request.set_text(std::string(100 << 10, 'a'));
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.set_compression_algorithm(algorithm);
    v1::TokenizeResponse response;
    EXPECT_EQ(server_.stub().Tokenize(&context, request, &response).error_code(),
              StatusCode::UNIMPLEMENTED);
    grpc::ClientContext chat_context;
    SetDeadline(chat_context);
    chat_context.set_compression_algorithm(algorithm);
    const auto chat = server_.stub().Converse(&chat_context);
    chat->Write({});
    EXPECT_EQ(chat->Finish().error_code(), StatusCode::UNIMPLEMENTED);
  }
}

constexpr char kConverse[] = "/sinkstream.v1.ChatService/Converse";

// Field `number` with `payload`, as the wire has it.
std::string Field(int number, const std::string& payload) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(payload.size())) + payload;
}

TEST_F(BadInput, InvalidUtf8InOpenEndsTheStreamNamingTheField) {
  RawCall chat(server_, kConverse);
  chat.Write(Field(1, Field(2, "h\xff")));
  const grpc::Status status = chat.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "open.system_prompt: is not valid UTF-8");
  EXPECT_EQ(BadField(status), "open.system_prompt");
}

TEST_F(BadInput, InvalidUtf8InARequestIsRefusedInBand) {
  const struct {
    std::string bytes;
    uint64_t request_id;
    const char* field;
  } cases[] = {
      {Field(2, "\x08\x29" + Field(2, "h\xff")), 41, "turn.text"},
      {Field(2, Field(3, "h\xff") + "\x08\x2a"), 42, "turn.raw_text"},
      {Field(2, "\x08\x2b" + Field(2, "hi") + Field(5, Field(10, "\xff"))), 43,
       "turn.sampling.stop_strings[0]"},
      {Field(3, "\x08\x2c" + Field(2, "h\xff")), 44, "append.text"},
      {Field(3, Field(2, "h\xff")), 0, "append.text"},
  };
  RawCall chat(server_, kConverse);
  chat.Write(Field(1, ""));
  EXPECT_TRUE(chat.ReadResponse().has_opened());
  for (const auto& c : cases) {
    chat.Write(c.bytes);
    const v1::ConverseResponse response = chat.ReadResponse();
    ASSERT_TRUE(response.has_failed()) << c.field;
    EXPECT_EQ(response.failed().request_id(), c.request_id);
    EXPECT_EQ(response.failed().status().code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(response.failed().status().message(), std::string(c.field) + ": is not valid UTF-8");
    EXPECT_EQ(BadField(response.failed().status()), c.field);
  }
  chat.Write(Field(2, Field(2, "hi")));
  EXPECT_TRUE(chat.ReadResponse().has_delta());
}

TEST_F(BadInput, ARequestBeforeOpenEndsTheStreamWhateverItsText) {
  RawCall chat(server_, kConverse);
  chat.Write(Field(2, Field(2, "h\xff")));
  EXPECT_EQ(chat.Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(BadInput, GarbageEndsTheStream) {
  RawCall chat(server_, kConverse);
  chat.Write("\xff\xff\xff\xff");
  const grpc::Status status = chat.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "message: does not parse as sinkstream.v1.ConverseRequest");
}

TEST_F(BadInput, AnEmptyMessageEndsTheStream) {
  RawCall chat(server_, kConverse);
  chat.Write("");
  const grpc::Status status = chat.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(BadField(status), "event");
}

TEST(BadInputAdmission, MoreSessionsThanTheMemoryHolds) {
  ChatServerOptions options = SmallSessions();
  options.model.num_blocks = 60;
  ChatServer server(options);
  std::vector<std::unique_ptr<Conversation>> chats;
  grpc::Status refusal;
  for (int i = 0; i < 60 && refusal.ok(); ++i) {
    chats.push_back(std::make_unique<Conversation>(server));
    chats.back()->Send("open {}");
    if (!chats.back()->Read().has_value()) refusal = chats.back()->Finish();
  }
  EXPECT_EQ(refusal.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(refusal.error_details()));
  google::rpc::RetryInfo retry;
  google::rpc::ErrorInfo info;
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_GT(retry.retry_delay().seconds() + retry.retry_delay().nanos(), 0);
  EXPECT_TRUE(details.details(1).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "KV_MEMORY");
  ASSERT_GE(chats.size(), 2u);
  EXPECT_EQ(chats[0]->Ask("turn { text: 'hi' }").text, "hello");
  chats[0]->Send("close {}");
  EXPECT_TRUE(chats[0]->Finish().ok());
  Conversation next(server);
  next.Open();
}

TEST(BadInputAdmission, MoreSessionsThanAllowed) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  ChatServer server(options);
  Conversation first(server);
  first.Open();
  Conversation second(server);
  second.Send("open {}");
  const grpc::Status status = second.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("max_sessions"), std::string::npos)
      << status.error_message();
}

TEST(BadInputAdmission, AStreamThatDoesNotOpenEnds) {
  ChatServerOptions options = SmallSessions();
  options.service.open_deadline = absl::Milliseconds(1);
  ChatServer server(options);
  Conversation silent(server);
  const grpc::Status status = silent.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "open: has not come within 1ms of the stream's start");
}

TEST(BadInputAdmission, AStreamThatHasOpenedOutlivesTheDeadlineForIt) {
  ChatServerOptions options = SmallSessions();
  options.service.open_deadline = absl::Seconds(1);
  ChatServer server(options);
  Conversation chat(server);
  chat.Open();
  Conversation silent(server);
  EXPECT_EQ(silent.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED) << "as chat's has passed";
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

TEST(BadInputAdmission, MoreStreamsThanAllowed) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  options.service.streams_beside_sessions = 1;
  ChatServer server(options);
  Conversation first(server);
  first.Open();
  Conversation silent(server);
  silent.AwaitInitialMetadata();
  Conversation third(server);
  const grpc::Status status = third.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "max_streams: 2 streams are alive already");
  google::rpc::Status details;
  google::rpc::RetryInfo retry;
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_TRUE(details.details(1).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "MAX_STREAMS");
  EXPECT_EQ(first.Ask("turn { text: 'hi' }").text, "hello");
}

TEST(BadInputAdmission, MoreStreamsThanAllowedOnOneConnection) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  ChatServer server(options);
  std::vector<std::unique_ptr<Conversation>> silent;
  for (int i = 0; i < 1 + options.service.streams_beside_sessions; ++i) {
    silent.push_back(std::make_unique<Conversation>(server));
    silent.back()->AwaitInitialMetadata();
  }
  Conversation another(server);
  EXPECT_EQ(another.Finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetLoadResponse response;
  EXPECT_TRUE(server.stub().GetLoad(&context, {}, &response).ok());
}

TEST(BadInputAdmission, AStreamThatEndsLeavesItsPlace) {
  ChatServerOptions options = SmallSessions();
  options.engine.limits.max_sessions = 1;
  options.service.streams_beside_sessions = 0;
  ChatServer server(options);
  const auto end_of_one = [&server] {
    Conversation brief(server);
    brief.HalfClose();
    return brief.Finish().error_code();
  };
  EXPECT_EQ(end_of_one(), StatusCode::FAILED_PRECONDITION);
  StatusCode next = end_of_one();
  // A client may hear of an end before the server has cleared it away.
  for (int i = 0; i < 1000 && next == StatusCode::RESOURCE_EXHAUSTED; ++i) next = end_of_one();
  EXPECT_EQ(next, StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace sinkstream
