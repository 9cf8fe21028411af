// Who may use the server, over a real port: encryption, certificates of clients, bearer tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/security/authenticator.h"
#include "server/security/port_security.h"
#include "sinkstream/v1/score.grpc.pb.h"
#include "tests/scratch_files.h"
#include "tests/server/certificates.h"
#include "tests/server/chat_server.h"

namespace sinkstream {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

constexpr char kAlice[] = "alice-token-0123";
constexpr char kBob[] = "bob-token-456789";

std::unique_ptr<PortSecurity> Load(const SecurityFiles& files) {
  auto security = PortSecurity::Load(files, [](LogLevel, const std::string&) {});
  EXPECT_TRUE(security.ok()) << security.status();
  return *std::move(security);
}

ChatServerOptions Guarded(PortSecurity& security) {
  ChatServerOptions options = SmallSessions();
  options.security = &security;
  return options;
}

class TokensTest : public testing::Test {
 protected:
  const ScratchFiles files_;
  const std::unique_ptr<PortSecurity> security_ =
      Load({{}, files_.Write("tokens", std::string("alice ") + kAlice + "\nbob " + kBob + "\n")});
  ChatServer server_{Guarded(*security_)};
};

TEST_F(TokensTest, AStreamWithATokenIsServed) {
  Conversation chat(server_, kAlice);
  chat.Open();
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

TEST_F(TokensTest, AStreamWithoutOneOrWithAWrongOneIsNot) {
  for (const std::string token : {"", "carol-token-0000", "alice-token-012", "alice-token-01234"}) {
    Conversation chat(server_, token);
    chat.Send("open {}");
    EXPECT_FALSE(chat.Read().has_value()) << "opened";
    const grpc::Status status = chat.Finish();
    EXPECT_EQ(status.error_code(), StatusCode::UNAUTHENTICATED) << token;
    EXPECT_THAT(status.error_message(), Not(HasSubstr("-token-")));
  }
}

// A unary call's outcome, with `token` unless that is empty.
template <typename Request, typename Response>
StatusCode Call(v1::ChatService::Stub& stub,
                grpc::Status (v1::ChatService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                const Request& request, const std::string& token) {
  grpc::ClientContext context;
  SetDeadline(context);
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  Response response;
  return (stub.*method)(&context, request, &response).error_code();
}

TEST_F(TokensTest, EveryCallOfTheServicesAsksForOne) {
  using Stub = v1::ChatService::Stub;
  v1::TokenizeRequest tokenize;
  tokenize.set_text("hi");
  for (const auto& [token, expected] :
       {std::pair<std::string, StatusCode>{"", StatusCode::UNAUTHENTICATED},
        {kAlice, StatusCode::OK}}) {
    EXPECT_EQ(Call(server_.stub(), &Stub::GetModel, v1::GetModelRequest(), token), expected);
    EXPECT_EQ(Call(server_.stub(), &Stub::GetLoad, v1::GetLoadRequest(), token), expected);
    EXPECT_EQ(Call(server_.stub(), &Stub::Tokenize, tokenize, token), expected);
    EXPECT_EQ(Call(server_.stub(), &Stub::Detokenize, v1::DetokenizeRequest(), token), expected);
    const auto score = v1::ScoreService::NewStub(server_.channel());
    grpc::ClientContext context;
    SetDeadline(context);
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    v1::ScoreRequest request;
    request.set_text("hello");
    const auto reader = score->Score(&context, request);
    v1::ScoreResponse response;
    while (reader->Read(&response)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), expected);
  }
}

TEST_F(TokensTest, HealthIsToldToEverybody) {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  const auto health = grpc::health::v1::Health::NewStub(server_.channel());
  EXPECT_TRUE(health->Check(&context, {}, &response).ok());
}

TEST_F(TokensTest, ASessionIsItsPrincipalsAlone) {
  std::string id;
  {
    Conversation chat(server_, kAlice);
    id = chat.Open().session_id();
    EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
  }
  const auto attach = [&](const std::string& token, const std::string& session) {
    Conversation chat(server_, token);
    chat.Send("open { session_id: '" + session + "' }");
    const bool opened = chat.Read().has_value();
    EXPECT_EQ(opened, token == kAlice && session == id);
    if (opened) chat.HalfClose();
    return chat.Finish();
  };
  const grpc::Status of_another = attach(kBob, id);
  const grpc::Status of_nobody = attach(kBob, std::string(32, '0'));
  EXPECT_EQ(of_another.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(of_another.error_message(), of_nobody.error_message()) << "as if it did not exist";
  EXPECT_EQ(of_another.error_details(), of_nobody.error_details());
  EXPECT_TRUE(attach(kAlice, id).ok());
}

TEST_F(TokensTest, OnePrincipalsSessionsAreBoundedByThemselves) {
  ChatServerOptions options = Guarded(*security_);
  options.engine.limits.max_principal_sessions = 1;
  ChatServer server(options);
  Conversation first(server, kAlice);
  first.Open();
  Conversation second(server, kAlice);
  second.Send("open {}");
  const grpc::Status status = second.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "max_principal_sessions: all 1 sessions that one principal may have are taken");
  EXPECT_THAT(status.error_details(), HasSubstr("MAX_PRINCIPAL_SESSIONS"));
  Conversation other(server, kBob);
  EXPECT_EQ(other.Open().limits().max_principal_sessions(), 1);
}

TEST_F(TokensTest, AnotherPrincipalCannotTakeARunningStreamOver) {
  Conversation chat(server_, kAlice);
  const std::string id = chat.Open().session_id();
  Conversation thief(server_, kBob);
  thief.Send("open { session_id: '" + id + "' }");
  EXPECT_EQ(thief.Finish().error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

TEST_F(TokensTest, ATokenThatIsTakenAwayIsOfNoUseFromThenOn) {
  files_.Write("tokens", std::string("alice ") + kAlice + "\n");
  StatusCode code = StatusCode::OK;
  while (code == StatusCode::OK) {  // the server looks every few milliseconds
    code = Call(server_.stub(), &v1::ChatService::Stub::GetModel, v1::GetModelRequest(), kBob);
  }
  EXPECT_EQ(code, StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Call(server_.stub(), &v1::ChatService::Stub::GetModel, v1::GetModelRequest(), kAlice),
            StatusCode::OK);
}

TEST(PrincipalOf, WantsOneAuthorizationOfTheBearerScheme) {
  const auto tokens = BearerTokens::Parse(std::string("alice ") + kAlice, "tokens");
  ASSERT_TRUE(tokens.ok());
  const std::string good = std::string("Bearer ") + kAlice;
  EXPECT_EQ(PrincipalOf({good}, *tokens).value(), "alice");
  for (const std::vector<absl::string_view>& wrong :
       {std::vector<absl::string_view>{}, {good, good}, {kAlice}, {"Basic YWxpY2U6"}}) {
    EXPECT_EQ(PrincipalOf(wrong, *tokens).status().code(), absl::StatusCode::kUnauthenticated);
  }
}

class TlsTest : public testing::Test {
 protected:
  SecurityFiles Files(bool clients_show_certificates = false) {
    Install(authority_.Issue("localhost"));
    files_.Write("clients.pem", authority_.certificate());
    return {{files_.Path("server.pem"), files_.Path("server.key"),
             clients_show_certificates ? files_.Path("clients.pem") : ""},
            ""};
  }
  void Install(const Identity& identity) {
    files_.Write("server.pem", identity.certificate);
    files_.Write("server.key", identity.key);
  }
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(const CertificateAuthority& authority,
                                                            const Identity& own = {}) {
    return grpc::SslCredentials({authority.certificate(), own.key, own.certificate});
  }
  static ChatServerOptions Guarded(PortSecurity& security,
                                   std::shared_ptr<grpc::ChannelCredentials> credentials) {
    ChatServerOptions options = sinkstream::Guarded(security);
    options.credentials = std::move(credentials);
    return options;
  }
  // What a new connection comes to.
  static StatusCode Reach(ChatServer& server,
                          const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    const auto stub = v1::ChatService::NewStub(server.Connect(credentials));
    return Call(*stub, &v1::ChatService::Stub::GetModel, v1::GetModelRequest(), "");
  }

  const ScratchFiles files_;
  const CertificateAuthority authority_{"authority"}, another_{"another authority"};
};

TEST_F(TlsTest, WhoTrustsTheCertificateIsServed) {
  const auto security = Load(Files());
  ChatServer server(Guarded(*security, Trusting(authority_)));
  Conversation chat(server);
  chat.Open();
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

TEST_F(TlsTest, NobodyIsServedInTheClear) {
  const auto security = Load(Files());
  ChatServer server(Guarded(*security, Trusting(authority_)));
  EXPECT_EQ(Reach(server, grpc::InsecureChannelCredentials()), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reach(server, Trusting(another_)), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reach(server, Trusting(authority_)), StatusCode::OK);
}

TEST_F(TlsTest, ANewCertificateIsShownToWhoComesNextAndNoStreamEnds) {
  const auto security = Load(Files());
  ChatServer server(Guarded(*security, Trusting(authority_)));
  Conversation chat(server);
  chat.Open();
  Install(another_.Issue("localhost"));
  while (Reach(server, Trusting(another_)) != StatusCode::OK) {
  }
  EXPECT_EQ(Reach(server, Trusting(authority_)), StatusCode::UNAVAILABLE);
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
}

TEST_F(TlsTest, AHalfReplacedPairLeavesTheOldOneInForce) {
  const auto security = Load(Files());
  ChatServer server(Guarded(*security, Trusting(authority_)));
  const Identity fresh = another_.Issue("localhost");
  files_.Write("server.pem", fresh.certificate);
  for (int handshake = 0; handshake < 20; ++handshake) {  // the server looks every few milliseconds
    EXPECT_EQ(Reach(server, Trusting(authority_)), StatusCode::OK);
  }
  files_.Write("server.key", fresh.key);
  while (Reach(server, Trusting(another_)) != StatusCode::OK) {
  }
}

TEST_F(TlsTest, AClientMustShowACertificateWhereOneIsAskedFor) {
  const auto security = Load(Files(true));
  ChatServer server(Guarded(*security, Trusting(authority_, authority_.Issue("alice"))));
  Conversation chat(server);
  chat.Open();
  EXPECT_EQ(chat.Ask("turn { text: 'hi' }").text, "hello");
  EXPECT_EQ(Reach(server, Trusting(authority_)), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reach(server, Trusting(authority_, another_.Issue("alice"))), StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, ASessionIsThatOfTheNameInItsClientsCertificate) {
  const auto security = Load(Files(true));
  const auto attach = [&](ChatServer& server, const std::string& name, const std::string& session) {
    const auto channel = server.Connect(Trusting(authority_, authority_.Issue(name)));
    const auto stub = v1::ChatService::NewStub(channel);
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stream = stub->Converse(&context);
    v1::ConverseRequest request;
    request.mutable_open()->set_session_id(session);
    stream->Write(request);
    stream->WritesDone();
    v1::ConverseResponse response;
    while (stream->Read(&response)) {
    }
    return stream->Finish().error_code();
  };
  ChatServer server(Guarded(*security, Trusting(authority_, authority_.Issue("alice"))));
  Conversation chat(server);
  const std::string id = chat.Open().session_id();
  EXPECT_EQ(attach(server, "bob", id), StatusCode::NOT_FOUND);
  EXPECT_EQ(attach(server, "alice", id), StatusCode::OK) << "with a certificate renewed since";
}

TEST_F(TlsTest, ACertificateMustNameItsClientBriefly) {
  const auto security = Load(Files(true));
  ChatServer server(Guarded(*security, Trusting(authority_, authority_.Issue("alice"))));
  EXPECT_EQ(Reach(server, Trusting(authority_, authority_.IssueNameless())),
            StatusCode::UNAUTHENTICATED);
  std::string names = "a";
  for (int i = 0; i < 100; ++i) names += ",DNS:a-name-of-forty-letters-or-a-little-fewer";
  EXPECT_EQ(Reach(server, Trusting(authority_, authority_.Issue(names))),
            StatusCode::UNAUTHENTICATED);
}

TEST_F(TlsTest, WithTokensTheTokenSaysWhoItIs) {
  SecurityFiles files = Files();
  files.auth_tokens = files_.Write("tokens", std::string("alice ") + kAlice + "\n");
  const auto security = Load(files);
  ChatServer server(Guarded(*security, Trusting(authority_)));
  Conversation chat(server, kAlice);
  chat.Open();
  EXPECT_EQ(Reach(server, Trusting(authority_)), StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace sinkstream
