// What breaks inside the server ends the call at hand with INTERNAL, and its text is in the log
// alone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

constexpr TokenId kBroken = 7;  // the third likeliest, behind the chosen one and 0

// Breaks at a text that ends so and at the bytes of kBroken.
class BreakingTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> Encode(std::string_view text, TokenId) const override {
    if (text.ends_with("break")) throw std::runtime_error("the tokenizer broke");
    return whole_.Encode(text);
  }
  std::string_view TokenBytes(TokenId token) const override {
    if (token == kBroken) throw std::runtime_error("the bytes broke");
    return whole_.TokenBytes(token);
  }
  bool IsSpecial(TokenId token) const override { return whole_.IsSpecial(token); }
  int32_t VocabSize() const override { return whole_.VocabSize(); }

 private:
  FakeTokenizer whole_;
};

class InternalError : public testing::Test {
 protected:
  ChatServerOptions Breaking() {
    ChatServerOptions options = SmallSessions();
    options.make_tokenizer = [] { return std::make_unique<BreakingTokenizer>(); };
    options.log.fd = log_.ends[1];
    return options;
  }
  void ExpectInternal(const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), StatusCode::INTERNAL);
    EXPECT_EQ(status.error_message(), "internal error");
  }
  // The next line of the log, which comes.
  std::string Logged() {
    std::string line;
    for (char c = 0; read(log_.ends[0], &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }

  struct Pipe {
    Pipe() { EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0); }
    ~Pipe() {
      for (const int end : ends) close(end);
    }
    int ends[2] = {-1, -1};
  };
  Pipe log_;
  ChatServer server_{Breaking()};
};

TEST_F(InternalError, OfAUnaryCallIsLogged) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::TokenizeRequest request;
  request.set_text("break");
  v1::TokenizeResponse response;
  ExpectInternal(server_.stub().Tokenize(&context, request, &response));
  EXPECT_THAT(Logged(), HasSubstr(R"("code":"INTERNAL","message":"the tokenizer broke"})"));
}

// For as long as it lives this process opens no file.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = dup(0);  // the lowest that is free
    close(next);
    const rlimit none = {static_cast<rlim_t>(next), before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(InternalError, ThatACallReturnsIsLoggedToo) {
  v1::GetLoadResponse response;
  const auto ask = [&] {
    grpc::ClientContext context;
    SetDeadline(context);
    return server_.stub().GetLoad(&context, {}, &response);
  };
  EXPECT_TRUE(ask().ok()) << "the connection is there";
  const NoMoreFiles none;
  ExpectInternal(ask());
  EXPECT_THAT(Logged(), HasSubstr(R"("code":"INTERNAL","message":"/proc/self/)"));
}

TEST_F(InternalError, OfAMessageEndsTheStreamAndIsLogged) {
  Conversation chat(server_);
  chat.Open();
  chat.Send("turn { text: 'break' }");
  ExpectInternal(chat.Finish());
  EXPECT_THAT(Logged(), HasSubstr(R"("code":"INTERNAL","message":"the tokenizer broke"})"));
}

TEST_F(InternalError, OfAResponseEndsTheStreamAndIsLogged) {
  Conversation chat(server_);
  chat.Open();
  chat.Send("turn { text: 'hi' sampling { top_logprobs: 3 } }");
  ExpectInternal(chat.Finish());
  EXPECT_THAT(Logged(), HasSubstr(R"("code":"INTERNAL","message":"the bytes broke"})"));
}

TEST_F(InternalError, LeavesTheOthersAlone) {
  Conversation neighbour(server_);
  neighbour.Open();
  {
    Conversation chat(server_);
    chat.Open();
    chat.Send("turn { text: 'hi' sampling { top_logprobs: 3 } }");
    ExpectInternal(chat.Finish());
  }
  EXPECT_EQ(neighbour.Ask("turn { text: 'hi' }").text, "hello");
}

}  // namespace
}  // namespace sinkstream
