// Decoder: what a token's text stands for, as the decoder of a tokenizer.json says. Immutable; any
// thread.
//
// Supported: ByteLevel, Metaspace, and Sequences of Replace (of a String), ByteFallback, Fuse and
// Strip (one space at the start), in this order, any of them left out; Strip needs Fuse.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace sinkstream {

class Decoder {
 public:
  // INVALID_ARGUMENT names the component that is not supported.
  static absl::StatusOr<Decoder> Parse(const nlohmann::json& decoder);

  // The bytes of the token `text`. Requires: valid UTF-8.
  std::string Bytes(std::string_view text) const;

  // Those of the first token of a text: without the space that encoding put before the text.
  std::string FirstBytes(std::string_view text) const;

  bool IsByteLevel() const { return byte_level_; }
  bool HasByteFallback() const { return byte_fallback_; }

 private:
  absl::Status AddToSequence(const nlohmann::json& component);

  bool byte_level_ = false;
  bool byte_fallback_ = false;
  bool fuse_ = false;
  bool strip_ = false;                // one space, of a first token
  bool drops_all_metaspace_ = false;  // of a first token: Metaspace's way
  std::vector<std::pair<std::string, std::string>> replaced_;
};

}  // namespace sinkstream
