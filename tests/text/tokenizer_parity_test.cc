// Tokenizer and Detokenizer against what the `tokenizers` package said (make_tokenizer_vectors.py):
// id for id.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/detokenizer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_json.h"
#include "gtest/gtest.h"

namespace sinkstream {
namespace {

constexpr size_t kCasesInFull = 4'000;  // make_tokenizer_vectors.py

std::string ReadFile(const std::string& name) {
  std::ifstream file(std::string(SINKSTREAM_TOKENIZER_VECTORS) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Reads the cases of a .vectors file.
class VectorReader {
 public:
  explicit VectorReader(std::string_view data) : data_(data) {}
  bool AtEnd() const { return data_.empty(); }
  TokenId Id() { return static_cast<TokenId>(Count()); }
  std::string_view Text() { return Take(Count()); }
  std::vector<TokenId> Ids() {
    std::vector<TokenId> ids(Count());
    const std::string_view bytes = Take(ids.size() * sizeof(TokenId));
    if (!bytes.empty()) std::memcpy(ids.data(), bytes.data(), bytes.size());
    return ids;
  }

 private:
  uint32_t Count() {
    uint32_t count = 0;
    std::memcpy(&count, Take(sizeof(count)).data(), sizeof(count));
    return count;
  }
  std::string_view Take(size_t size) {
    const std::string_view taken = data_.substr(0, size);
    data_.remove_prefix(size);
    return taken;
  }

  std::string_view data_;
};

std::string Decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  Detokenizer detokenizer(tokenizer, {});
  std::string text;
  for (TokenId id : ids) text += detokenizer.Push(id);
  return text + detokenizer.Flush();
}

class TokenizerParity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto tokenizer = ParseTokenizer(ReadFile(GetParam() + ".json"));
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    vectors_ = ReadFile(GetParam() + ".vectors");
    ASSERT_GT(vectors_.size(), 3'000'000u);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::string vectors_;
};

TEST_P(TokenizerParity, IdsAndTextsAreThoseOfThePackage) {
  VectorReader reader(vectors_);
  const TokenId special = reader.Id();
  ASSERT_TRUE(tokenizer_->IsSpecial(special));
  size_t cases = 0;
  for (; !reader.AtEnd(); ++cases) {
    const std::string_view text = reader.Text();
    ASSERT_EQ(tokenizer_->Encode(text), reader.Ids())
        << "case " << cases << ": " << text.substr(0, 200);
    const std::vector<TokenId> behind = reader.Ids();
    if (cases < kCasesInFull) {
      ASSERT_EQ(tokenizer_->Encode(text, special), behind) << "case " << cases << ": " << text;
    }
    const std::vector<TokenId> others = reader.Ids();
    ASSERT_EQ(Decode(*tokenizer_, others), reader.Text()) << "case " << cases;
  }
  EXPECT_GT(cases, 10'000u);
}

// Where nothing is normalized: all but the bytes that a vocabulary lacks, and of the default
// model's these alone.
class RoundTrip : public TokenizerParity {};

TEST_P(RoundTrip, TextComesBackFromItsIds) {
  const std::string_view lacking = "\x04\x06\x13\x14\x16\x1d\xf1\xf2";
  VectorReader reader(vectors_);
  reader.Id();
  for (size_t i = 0; !reader.AtEnd(); ++i) {
    const std::string_view text = reader.Text();
    const bool whole = GetParam() != "smollm2" || text.find_first_of(lacking) == text.npos;
    if (whole) {
      ASSERT_EQ(Decode(*tokenizer_, tokenizer_->Encode(text)), text) << "case " << i;
    }
    for (int skipped = 0; skipped < 3; ++skipped) reader.Ids();
    reader.Text();
  }
}

INSTANTIATE_TEST_SUITE_P(All, RoundTrip, testing::Values("smollm2", "falcon", "phi"),
                         [](const auto& name) { return name.param; });
INSTANTIATE_TEST_SUITE_P(All, TokenizerParity,
                         testing::Values("smollm2", "gpt2", "llama3", "qwen2", "stablelm2", "o200k",
                                         "odd", "falcon", "neox", "bloom", "phi", "llama2",
                                         "mistral", "gemma", "phi3", "always", "never", "dropped",
                                         "whole_words", "unigram", "unigram_bytes"),
                         [](const auto& name) { return name.param; });

}  // namespace
}  // namespace sinkstream
