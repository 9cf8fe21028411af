// Alphabet: the symbols that byte-pair merges begin with, as the model of a tokenizer.json reads a
// word. Immutable; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/types.h"

namespace sinkstream {

class Alphabet {
 public:
  virtual ~Alphabet() = default;

  // Appends the symbols of `word`, which is valid UTF-8 unless the alphabet is one of bytes.
  virtual void Append(std::string_view word, std::vector<TokenId>& symbols) const = 0;

  // True if a text that has the character `right` behind `left` may be cut between them: that
  // changes no symbols, and only symbols of these two meet there.
  virtual bool CutsBetween(uint32_t left, uint32_t right) const = 0;
};

// A token for each byte (byte-level BPE). Bytes without token are dropped.
class ByteAlphabet final : public Alphabet {
 public:
  explicit ByteAlphabet(const std::array<TokenId, 256>& tokens) : tokens_(tokens) {}
  void Append(std::string_view word, std::vector<TokenId>& symbols) const override;
  bool CutsBetween(uint32_t, uint32_t) const override { return true; }

 private:
  const std::array<TokenId, 256> tokens_;  // kNoToken: none
};

// A token for each character (SentencePiece-style BPE). One without token becomes its bytes' tokens
// if all of them are there, else the unknown token, else nothing.
class CharacterAlphabet final : public Alphabet {
 public:
  struct Parts {
    absl::flat_hash_map<uint32_t, TokenId> characters;
    std::array<TokenId, 256> bytes{};  // byte_fallback; kNoToken: none
    TokenId unknown = kNoToken;
    bool fuse_unknown = false;  // neighbouring unknown characters are one token
  };
  explicit CharacterAlphabet(Parts parts);
  void Append(std::string_view word, std::vector<TokenId>& symbols) const override;
  bool CutsBetween(uint32_t left, uint32_t right) const override;

 private:
  bool AppendBytes(std::string_view character, std::vector<TokenId>& symbols) const;

  const Parts parts_;
  bool bytes_are_complete_ = true;
};

}  // namespace sinkstream
