#include "server/security/port_security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "server/security/small_file.h"
#include "tests/scratch_files.h"
#include "tests/server/certificates.h"

namespace sinkstream {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kAliceLine[] = "alice alice-token-0123\n";
constexpr char kBobLine[] = "bob bob-token-456789\n";

class PortSecurityTest : public testing::Test {
 protected:
  PortSecurityTest() {
    files_.Write("server.pem", identity_.certificate);
    files_.Write("server.key", identity_.key);
    files_.Write("clients.pem", authority_.certificate());
    files_.Write("tokens", kAliceLine);
  }

  SecurityFiles Tls(const std::string& client_ca = "") const {
    const std::string ca = client_ca.empty() ? "" : files_.Path(client_ca);
    return {{files_.Path("server.pem"), files_.Path("server.key"), ca}, ""};
  }
  SecurityFiles Tokens() const { return {{}, files_.Path("tokens")}; }

  std::unique_ptr<PortSecurity> Load(const SecurityFiles& files) {
    auto security = PortSecurity::Load(files, notice_);
    EXPECT_TRUE(security.ok()) << security.status();
    return *std::move(security);
  }
  std::string Refusal(const SecurityFiles& files) {
    const auto security = PortSecurity::Load(files, notice_);
    EXPECT_EQ(security.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(security.status().message());
  }
  // What has been logged since the last call.
  std::string Log() { return std::exchange(log_, ""); }

  const CertificateAuthority authority_{"authority"};
  const Identity identity_ = authority_.Issue("localhost");
  const ScratchFiles files_;
  std::string log_;
  const PortSecurity::Notice notice_ = [this](LogLevel level, const std::string& about) {
    log_ += std::string(LogLevelName(level)) + ": " + about + "\n";
  };
};

TEST_F(PortSecurityTest, WithoutFilesNothingIsGuarded) {
  const auto security = Load({});
  EXPECT_EQ(security->Tls(), nullptr);
  EXPECT_EQ(security->Tokens(), nullptr);
}

TEST_F(PortSecurityTest, HoldsWhatTheFilesHold) {
  const auto security = Load({Tls("clients.pem").tls, files_.Path("tokens")});
  EXPECT_EQ(security->Tls()->certificates, identity_.certificate);
  EXPECT_EQ(security->Tls()->key, identity_.key);
  EXPECT_EQ(security->Tls()->client_roots, authority_.certificate());
  EXPECT_EQ(security->Tokens()->PrincipalOf("alice-token-0123"), "alice");
  EXPECT_EQ(Log(), "");
}

TEST_F(PortSecurityTest, NamesAFileThatIsNotThere) {
  for (const char* name : {"server.pem", "server.key", "clients.pem", "tokens"}) {
    const std::string path = files_.Path(name);
    std::filesystem::rename(path, path + ".kept");
    EXPECT_EQ(Refusal({Tls("clients.pem").tls, files_.Path("tokens")}),
              path + ": No such file or directory");
    std::filesystem::rename(path + ".kept", path);
  }
}

TEST_F(PortSecurityTest, NamesAFileThatIsAFolderOrTooLong) {
  EXPECT_EQ(Refusal({{}, files_.Path("")}), files_.Path("") + ": is not a plain file");
  files_.Write("tokens", std::string(kMostFileBytes + 1, '#'));
  EXPECT_EQ(Refusal(Tokens()), files_.Path("tokens") + ": is longer than 1048576 bytes");
}

TEST_F(PortSecurityTest, SaysWhatIsWrongWithACertificate) {
  files_.Write("server.pem", "hello\n");
  EXPECT_EQ(Refusal(Tls()), files_.Path("server.pem") + ": holds no certificate in PEM form");
  files_.Write("server.pem", identity_.key);
  EXPECT_EQ(Refusal(Tls()), files_.Path("server.pem") + ": holds no certificate in PEM form");
  std::string damaged = identity_.certificate;
  damaged.replace(100, 4, "!!!!");
  files_.Write("server.pem", damaged);
  EXPECT_EQ(Refusal(Tls()), files_.Path("server.pem") + ": certificate 1 in it is damaged");
  files_.Write("server.pem", identity_.certificate + damaged);
  EXPECT_EQ(Refusal(Tls()), files_.Path("server.pem") + ": certificate 2 in it is damaged");
}

TEST_F(PortSecurityTest, SaysWhatTheTlsLibraryDoesNotTake) {
  const Identity weak = authority_.IssueWeak("localhost");
  const std::string path = files_.Write("server.pem", weak.certificate);
  files_.Write("server.key", weak.key);
  EXPECT_EQ(Refusal(Tls()), path + ": certificate 1 in it cannot be used: ee key too small");
}

// gRPC takes it, and then no handshake succeeds.
TEST_F(PortSecurityTest, SaysWhichOfAChainTheTlsLibraryDoesNotTake) {
  const std::string path = files_.Write(
      "server.pem", identity_.certificate + authority_.IssueWeak("between").certificate);
  EXPECT_EQ(Refusal(Tls()), path + ": certificate 2 in it cannot be used: ca key too small");
}

TEST_F(PortSecurityTest, TakesAChain) {
  files_.Write("server.pem", identity_.certificate + authority_.certificate());
  EXPECT_EQ(Load(Tls())->Tls()->certificates, identity_.certificate + authority_.certificate());
}

TEST_F(PortSecurityTest, SaysWhatIsWrongWithAKey) {
  const std::string path = files_.Write("server.key", identity_.certificate);
  EXPECT_EQ(Refusal(Tls()), path + ": holds no private key in PEM form");
  files_.Write("server.key", "");
  EXPECT_EQ(Refusal(Tls()), path + ": holds no private key in PEM form");
  std::string damaged = identity_.key;
  damaged.replace(60, 4, "!!!!");
  files_.Write("server.key", damaged);
  EXPECT_EQ(Refusal(Tls()), path + ": the private key in it is damaged");
  files_.Write("server.key", Encrypted(identity_.key));
  EXPECT_EQ(Refusal(Tls()), path + ": the key has a passphrase; give it without one");
  files_.Write("server.key", authority_.Issue("another").key);
  EXPECT_EQ(Refusal(Tls()),
            path + ": is not the key of the certificate in " + files_.Path("server.pem"));
}

TEST_F(PortSecurityTest, SaysWhatIsWrongWithTheRootsOfClients) {
  const std::string path = files_.Write("clients.pem", "");
  EXPECT_EQ(Refusal(Tls("clients.pem")), path + ": holds no certificate in PEM form");
}

TEST_F(PortSecurityTest, WarnsOfACertificateThatNobodyWillTake) {
  const std::string path = files_.Path("server.pem");
  const Identity old = authority_.Issue("old", {.from_seconds = -7200, .until_seconds = -3600});
  files_.Write("server.pem", old.certificate);
  files_.Write("server.key", old.key);
  Load(Tls());
  EXPECT_EQ(Log(), "warning: " + path + ": the certificate has expired\n");
  const Identity early = authority_.Issue("early", {.from_seconds = 3600, .until_seconds = 7200});
  files_.Write("server.pem", early.certificate);
  files_.Write("server.key", early.key);
  Load(Tls());
  EXPECT_EQ(Log(), "warning: " + path + ": the certificate is not valid yet\n");
}

TEST_F(PortSecurityTest, KeepsACertificateRatherThanTakeOneOfAnotherTime) {
  const auto security = Load(Tls());
  const auto before = security->Tls();
  const Identity old = authority_.Issue("old", {.from_seconds = -7200, .until_seconds = -3600});
  files_.Write("server.pem", old.certificate);
  files_.Write("server.key", old.key);
  security->Refresh();
  EXPECT_EQ(security->Tls(), before);
  EXPECT_FALSE(security->IsCurrent());
  EXPECT_EQ(Log(), "error: what was there before stays in force: " + files_.Path("server.pem") +
                       ": the certificate has expired\n");
}

TEST_F(PortSecurityTest, KnowsWhenTheCertificateExpires) {
  const Identity brief = authority_.Issue("brief", {.until_seconds = 600});
  files_.Write("server.pem", brief.certificate);
  files_.Write("server.key", brief.key);
  const absl::Duration left = Load(Tls())->Tls()->expires - absl::Now();
  EXPECT_GT(left, absl::Seconds(500));
  EXPECT_LE(left, absl::Seconds(600));
}

TEST_F(PortSecurityTest, WarnsOfSecretsThatOthersMayRead) {
  for (const auto& [name, files] : {std::pair("server.key", Tls()), {"tokens", Tokens()}}) {
    chmod(files_.Path(name).c_str(), 0644);
    Load(files);
    EXPECT_EQ(Log(), "warning: " + files_.Path(name) +
                         ": is a secret that others may read or write (mode 0644); chmod 600\n");
    chmod(files_.Path(name).c_str(), 0640);
    Load(files);
    EXPECT_EQ(Log(), "") << "a group may read it";
  }
}

TEST_F(PortSecurityTest, NewTokensAreInForceAtTheNextLook) {
  const auto security = Load(Tokens());
  files_.Write("tokens", kBobLine);
  security->Refresh();
  EXPECT_EQ(security->Tokens()->PrincipalOf("bob-token-456789"), "bob");
  EXPECT_EQ(security->Tokens()->PrincipalOf("alice-token-0123"), "") << "taken away";
  EXPECT_EQ(Log(), "info: " + files_.Path("tokens") + ": the new tokens are in force\n");
}

TEST_F(PortSecurityTest, ABadFileIsToldOnceAndChangesNothing) {
  const auto security = Load(Tokens());
  files_.Write("tokens", "alice\n");
  security->Refresh();
  EXPECT_EQ(Log(), "error: what was there before stays in force: " + files_.Path("tokens") +
                       ":1: must be `PRINCIPAL TOKEN`\n");
  security->Refresh();
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(security->Tokens()->PrincipalOf("alice-token-0123"), "alice");
  EXPECT_FALSE(security->IsCurrent());
  files_.Write("tokens", kBobLine);
  security->Refresh();
  EXPECT_EQ(security->Tokens()->PrincipalOf("bob-token-456789"), "bob");
  EXPECT_TRUE(security->IsCurrent());
}

TEST_F(PortSecurityTest, AFileThatIsAwayForAWhileChangesNothing) {
  const auto security = Load(Tokens());
  const std::string path = files_.Path("tokens");
  std::filesystem::rename(path, path + ".kept");
  security->Refresh();
  EXPECT_THAT(Log(), HasSubstr("No such file or directory"));
  EXPECT_EQ(security->Tokens()->PrincipalOf("alice-token-0123"), "alice");
  std::filesystem::rename(path + ".kept", path);
  security->Refresh();
  EXPECT_THAT(Log(), HasSubstr("the new tokens are in force"));
}

TEST_F(PortSecurityTest, ACertificateIsReplacedTogetherWithItsKey) {
  const auto security = Load(Tls());
  const auto before = security->Tls();
  const Identity fresh = authority_.Issue("localhost");
  files_.Write("server.pem", fresh.certificate);
  security->Refresh();
  EXPECT_EQ(security->Tls(), before) << "its key is not there yet";
  EXPECT_THAT(Log(), StartsWith("error: what was there before stays in force"));
  files_.Write("server.key", fresh.key);
  security->Refresh();
  EXPECT_EQ(security->Tls()->certificates, fresh.certificate);
  EXPECT_EQ(security->Tls()->key, fresh.key);
  EXPECT_THAT(Log(), HasSubstr("the new certificate is in force"));
}

TEST_F(PortSecurityTest, WhatHasNotChangedIsNotReadAgain) {
  const auto security = Load(Tls());
  const auto before = security->Tls();
  security->Refresh();
  EXPECT_EQ(security->Tls(), before);
  EXPECT_EQ(Log(), "");
}

}  // namespace
}  // namespace sinkstream
