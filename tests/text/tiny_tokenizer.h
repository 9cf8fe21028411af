// A tokenizer.json small enough to read in a test: the 256 bytes, then the given merges, then one
// special token.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/byte_level.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_json.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sinkstream {

inline constexpr const char* kSpecialText = "<|end|>";

// Tokens 0 to 255 are the bytes; merge i makes token 256 + i (unless it makes an earlier one); then
// comes kSpecialText. Pieces are not cut: ByteLevel with use_regex false.
inline nlohmann::json TinyTokenizerJson(
    const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte)
    vocab[ByteLevelCharacter(static_cast<uint8_t>(byte))] = byte;
  nlohmann::json pairs = nlohmann::json::array();
  for (const auto& [left, right] : merges) {
    pairs.push_back({left, right});
    if (!vocab.contains(left + right)) vocab[left + right] = vocab.size();
  }
  const size_t special = vocab.size();
  nlohmann::json file;
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  file["decoder"] = {{"type", "ByteLevel"}};
  file["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", pairs}};
  file["added_tokens"] = {{{"id", special}, {"content", kSpecialText}, {"special", true}}};
  return file;
}

inline std::unique_ptr<Tokenizer> MakeTokenizer(const nlohmann::json& file) {
  auto tokenizer = ParseTokenizer(file.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// That many lists in one another.
inline std::string NestedJson(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

inline TokenId SpecialToken(const Tokenizer& tokenizer) { return tokenizer.VocabSize() - 1; }

}  // namespace sinkstream
