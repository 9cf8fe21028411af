// BearerTokens: who may use the server, by the secret that a client sends as
// `authorization: Bearer TOKEN`.
//
// The file has a line `PRINCIPAL TOKEN` for each; blank lines, and those that begin with '#', are
// passed over. A principal may have several tokens, so that one can be replaced without a gap.
// Nothing of a token is kept but its SHA-256.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sinkstream {

class BearerTokens {
 public:
  static constexpr size_t kMostTokens = 4096;
  static constexpr size_t kMostPrincipalBytes = 64;  // of letters, digits and . _ @ -
  // Of RFC 6750's characters: letters, digits and - . _ ~ + / =
  static constexpr size_t kLeastTokenBytes = 16;
  static constexpr size_t kMostTokenBytes = 1024;

  // INVALID_ARGUMENT, with `path` and the line, and no token in it: a line that is none, a token
  // that is there twice, none at all or too many.
  static absl::StatusOr<BearerTokens> Parse(absl::string_view text, const std::string& path);

  // Whose token it is; empty: nobody's. Takes as long whichever it is, and however much of one it
  // begins with. Any thread.
  std::string PrincipalOf(absl::string_view token) const;

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Entry {
    Digest digest;
    std::string principal;
  };

  static Digest Hash(absl::string_view token);

  std::vector<Entry> entries_;
};

// The token of an `authorization` header's value: what follows "Bearer ", whose case does not
// matter. Empty if it is of another scheme.
absl::string_view BearerToken(absl::string_view authorization);

}  // namespace sinkstream
