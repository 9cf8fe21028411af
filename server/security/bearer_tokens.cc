#include "server/security/bearer_tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sinkstream {
namespace {

constexpr absl::string_view kScheme = "Bearer ";

bool IsOf(absl::string_view text, absl::string_view beside_alphanumeric) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains(beside_alphanumeric, c);
  });
}

// What is wrong with a line; empty: nothing. Never quotes a token.
std::string FaultOf(const std::vector<absl::string_view>& words) {
  if (words.size() != 2) return "must be `PRINCIPAL TOKEN`";
  if (words[0].size() > BearerTokens::kMostPrincipalBytes || !IsOf(words[0], "._@-")) {
    return absl::StrCat("the principal must be at most ", BearerTokens::kMostPrincipalBytes,
                        " letters, digits and . _ @ -");
  }
  const size_t bytes = words[1].size();
  if (bytes < BearerTokens::kLeastTokenBytes || bytes > BearerTokens::kMostTokenBytes) {
    return absl::StrCat("the token is ", bytes, " characters long; must be ",
                        BearerTokens::kLeastTokenBytes, " to ", BearerTokens::kMostTokenBytes);
  }
  if (!IsOf(words[1], "-._~+/=")) return "the token must be of letters, digits and - . _ ~ + / =";
  return "";
}

}  // namespace

BearerTokens::Digest BearerTokens::Hash(absl::string_view token) {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(token.data()), token.size(), digest.data());
  return digest;
}

absl::StatusOr<BearerTokens> BearerTokens::Parse(absl::string_view text, const std::string& path) {
  BearerTokens tokens;
  std::map<Digest, int> lines;
  int number = 0;
  const auto fault = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", number, ": ", what...));
  };
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (const std::string wrong = FaultOf(words); !wrong.empty()) return fault(wrong);
    const Digest digest = Hash(words[1]);
    const auto [first, is_new] = lines.emplace(digest, number);
    if (!is_new) return fault("the token is that of line ", first->second);
    if (tokens.entries_.size() == kMostTokens) return fault("more than ", kMostTokens, " tokens");
    tokens.entries_.push_back({digest, std::string(words[0])});
  }
  if (tokens.entries_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no token"));
  }
  return tokens;
}

std::string BearerTokens::PrincipalOf(absl::string_view token) const {
  const Digest digest = Hash(token);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    const bool same = CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0;
    found = same ? &entry : found;
  }
  return found == nullptr ? "" : found->principal;
}

absl::string_view BearerToken(absl::string_view authorization) {
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) return "";
  return absl::StripAsciiWhitespace(authorization.substr(kScheme.size()));
}

}  // namespace sinkstream
