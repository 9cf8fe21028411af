#include "engine/text/unigram.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace sinkstream {

Unigram::Unigram(const std::vector<Piece>& pieces, TokenId unknown, double unknown_score,
                 const std::array<TokenId, 256>& bytes)
    : unknown_(unknown), unknown_score_(unknown_score), bytes_(bytes) {
  for (const Piece& piece : pieces) {
    trie_.Add(piece.text, piece.id);
    if (static_cast<size_t>(piece.id) >= scores_.size()) scores_.resize(piece.id + 1);
    scores_[piece.id] = piece.score;
  }
}

std::vector<Unigram::Step> Unigram::BestSteps(std::string_view word) const {
  std::vector<Step> steps(word.size() + 1);
  const auto reach = [&](size_t begin, size_t end, TokenId token, double score) {
    const double total = steps[begin].score + score;
    if (steps[end].reached && total <= steps[end].score) return;
    steps[end] = {total, begin, token, true};
  };
  for (size_t begin = 0; begin < word.size();) {
    const size_t character = FirstCodePoint(word.substr(begin)).size;
    bool known = false;
    ByteTrie::Node node = ByteTrie::kRoot;
    for (size_t end = begin; end < word.size();) {
      node = trie_.Next(node, word[end++]);
      if (node == ByteTrie::kNone) break;
      const TokenId token = trie_.Value(node);
      if (token == ByteTrie::kNoValue) continue;
      reach(begin, end, token, scores_[token]);
      known = known || end == begin + character;
    }
    if (!known) reach(begin, begin + character, unknown_, unknown_score_);
    begin += character;
  }
  return steps;
}

void Unigram::AppendUnknown(std::string_view text, std::vector<TokenId>& tokens) const {
  const auto token = [this](char byte) { return bytes_[static_cast<uint8_t>(byte)]; };
  const bool complete =
      std::all_of(text.begin(), text.end(), [&](char byte) { return token(byte) != kNoToken; });
  if (!complete) return tokens.push_back(unknown_);
  for (const char byte : text) tokens.push_back(token(byte));
}

void Unigram::Append(std::string_view word, std::vector<TokenId>& tokens) const {
  const std::vector<Step> steps = BestSteps(word);
  std::vector<size_t> ends;
  for (size_t end = word.size(); end > 0; end = steps[end].begin) ends.push_back(end);
  size_t unknown_begin = 0;
  for (size_t i = ends.size(); i-- > 0;) {
    const Step& step = steps[ends[i]];
    if (step.token != unknown_) {
      tokens.push_back(step.token);
      continue;
    }
    const bool first = i + 1 == ends.size() || steps[ends[i + 1]].token != unknown_;
    const bool last = i == 0 || steps[ends[i - 1]].token != unknown_;
    if (first) unknown_begin = step.begin;
    if (last) AppendUnknown(word.substr(unknown_begin, ends[i] - unknown_begin), tokens);
  }
}

}  // namespace sinkstream
