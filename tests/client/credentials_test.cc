#include "client/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/session_client.h"
#include "tests/client/scripted_server.h"
#include "tests/scratch_files.h"

namespace sinkstream {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kCertificate[] = "-----BEGIN CERTIFICATE-----\n";
constexpr char kKey[] = "-----BEGIN PRIVATE KEY-----\n";

// A file of the test's own.
class File {
 public:
  explicit File(const std::string& content) : path_(files_.Write("file", content)) {}
  const std::string& path() const { return path_; }

 private:
  const ScratchFiles files_;
  const std::string path_;
};

constexpr char kHere[] = "127.0.0.1:50051";

std::string Refusal(const CredentialFiles& files, const std::string& server = kHere) {
  const auto credentials = LoadCredentials(files, server);
  EXPECT_EQ(credentials.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(credentials.status().message());
}

TEST(Credentials, WithoutFilesThereIsNeitherEncryptionNorAToken) {
  const auto credentials = LoadCredentials({}, kHere);
  ASSERT_TRUE(credentials.ok());
  EXPECT_EQ(credentials->roots, "");
  EXPECT_EQ(credentials->token, "");
}

TEST(Credentials, RootsEncryptAndATokenIsReadWithoutTheSpaceAroundIt) {
  const File roots(kCertificate), token(" secret-token\n");
  const auto credentials = LoadCredentials({.tls_ca = roots.path(), .token_file = token.path()},
                                           "chat.example.org:50051");
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->roots, kCertificate);
  EXPECT_EQ(credentials->token, "secret-token");
}

TEST(Credentials, NamesAFileThatIsNotThere) {
  const File certificate(kCertificate), key(kKey);
  const CredentialFiles good = {certificate.path(), certificate.path(), key.path(), ""};
  for (std::string CredentialFiles::* file :
       {&CredentialFiles::tls_ca, &CredentialFiles::tls_certificate, &CredentialFiles::tls_key,
        &CredentialFiles::token_file}) {
    CredentialFiles files = good;
    files.*file = "/no/such/file";
    EXPECT_EQ(Refusal(files), "/no/such/file: No such file or directory");
  }
}

TEST(Credentials, NamesAFileThatHoldsSomethingElse) {
  const File certificate(kCertificate), key(kKey), text("hello\n"), empty(" \n");
  EXPECT_EQ(Refusal({.tls_ca = text.path()}), text.path() + ": holds no certificate in PEM form");
  EXPECT_EQ(Refusal({certificate.path(), key.path(), key.path(), ""}),
            key.path() + ": holds no certificate in PEM form");
  EXPECT_EQ(Refusal({certificate.path(), certificate.path(), certificate.path(), ""}),
            certificate.path() + ": holds no private key in PEM form");
  EXPECT_EQ(Refusal({.token_file = empty.path()}), empty.path() + ": holds no token");
  const File nothing("");
  EXPECT_EQ(Refusal({.token_file = nothing.path()}), nothing.path() + ": holds no token");
  EXPECT_EQ(Refusal({.tls_ca = nothing.path()}),
            nothing.path() + ": holds no certificate in PEM form");
}

TEST(Credentials, ATokenFileHoldsOneTokenAndItIsNotTold) {
  const File long_one(std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(Refusal({.token_file = long_one.path()}),
            long_one.path() + ": is longer than 1048576 bytes");
  const File two("alice secret-token\n");
  const std::string told = Refusal({.token_file = two.path()});
  EXPECT_EQ(told, two.path() + ": must hold one token and nothing else");
  EXPECT_THAT(told, Not(HasSubstr("secret")));
}

TEST(Credentials, FilesThatNeedEachOtherAreNamed) {
  EXPECT_EQ(Refusal({.tls_certificate = "c"}), "--tls-key: is empty; --tls-certificate needs it");
  EXPECT_EQ(Refusal({.tls_key = "k"}), "--tls-certificate: is empty; --tls-key needs it");
  EXPECT_EQ(Refusal({.tls_certificate = "c", .tls_key = "k"}),
            "--tls-ca: is empty; --tls-certificate needs it");
}

TEST(Credentials, ATokenLeavesNoMachineUnencryptedUnlessItMay) {
  const File token("secret-token\n");
  CredentialFiles files = {.token_file = token.path()};
  for (const char* here :
       {"127.0.0.1:50051", "127.8.9.10:1", "localhost:50051", "LocalHost:1", "[::1]:50051",
        "dns:///localhost:50051", "ipv4:127.0.0.1:1", "unix:/s"}) {
    EXPECT_TRUE(LoadCredentials(files, here).ok()) << here;
  }
  for (const char* elsewhere :
       {"chat.example.org:50051", "10.0.0.1:50051", "[::2]:1", "localhost.example.org:1",
        "127.0.0.1.example.org:1", "dns:///sinkstream:50051", "0.0.0.0:1"}) {
    EXPECT_EQ(Refusal(files, elsewhere),
              std::string("--token-file: would be read by whoever is on the way to ") + elsewhere +
                  "; encrypt with --tls-ca, or give --insecure-token");
  }
  EXPECT_TRUE(LoadCredentials({}, "chat.example.org:50051").ok()) << "without a token";
  files.insecure_token = true;
  EXPECT_TRUE(LoadCredentials(files, "chat.example.org:50051").ok());
}

TEST(Credentials, TheTokenGoesWithEveryCallWithoutEncryptionToo) {
  std::string received;
  ScriptedServer server([&](ServerStream& stream, grpc::ServerContext& context) {
    const auto header = context.client_metadata().find("authorization");
    if (header != context.client_metadata().end()) {
      received.assign(header->second.data(), header->second.size());
    }
    Receive(stream);
    SendOpened(stream, "abc");
    return grpc::Status::OK;
  });
  Credentials credentials;
  credentials.token = "secret-token";
  SessionClient client(server.address(), {}, credentials);
  EXPECT_TRUE(client.Open({}).ok());
  EXPECT_EQ(received, "Bearer secret-token");
}

TEST(ConnectionHint, SaysWhatToDo) {
  Credentials plain, with_token, encrypted;
  with_token.token = "secret-token";
  encrypted.roots = kCertificate;
  const auto unknown = absl::UnauthenticatedError("no such token");
  EXPECT_EQ(ConnectionHint(unknown, plain), " (give --token-file)");
  EXPECT_THAT(ConnectionHint(unknown, with_token), HasSubstr("does not know the token"));
  const auto gone = absl::UnavailableError("connection refused");
  EXPECT_THAT(ConnectionHint(gone, plain), HasSubstr("needs --tls-ca"));
  EXPECT_THAT(ConnectionHint(gone, encrypted), HasSubstr("needs --tls-certificate"));
  const auto handshake = absl::UnavailableError("Ssl handshake failed");
  EXPECT_THAT(ConnectionHint(handshake, encrypted), HasSubstr("lead to --tls-ca"));
  const auto other = absl::UnavailableError("Peer name 127.0.0.1 is not in peer certificate");
  EXPECT_EQ(ConnectionHint(other, encrypted), "");
  EXPECT_EQ(ConnectionHint(absl::NotFoundError("no session"), encrypted), "");
}

}  // namespace
}  // namespace sinkstream
