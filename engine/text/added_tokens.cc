#include "engine/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

uint64_t ChildKey(uint32_t node, char byte) {
  return static_cast<uint64_t>(node) << 8 | static_cast<uint8_t>(byte);
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    uint32_t node = 0;
    for (const char byte : tokens_[i].content) {
      const auto next = static_cast<uint32_t>(nodes_.size());
      const auto [child, is_new] = children_.try_emplace(ChildKey(node, byte), next);
      if (is_new) nodes_.emplace_back();
      node = child->second;
    }
    nodes_[node].token = static_cast<int32_t>(i);
    longest_ = std::max(longest_, tokens_[i].content.size());
  }
}

AddedTokens::Match AddedTokens::Longest(std::string_view text) const {
  Match match;
  uint32_t node = 0;
  for (const char byte : text) {
    const auto child = children_.find(ChildKey(node, byte));
    if (child == children_.end()) return match;
    node = child->second;
    if (nodes_[node].token >= 0) match.token = &tokens_[nodes_[node].token];
  }
  match.may_go_on = true;
  return match;
}

std::vector<AddedTokens::Piece> AddedTokens::Find(std::string_view text) const {
  std::vector<Piece> pieces;
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !tokens_.empty();) {
    const AddedToken* token = Longest(text.substr(at)).token;
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at;
    at += token->content.size();
    size_t end = at;
    if (token->takes_before) begin = std::max(done, begin - WhiteSpaceAtEnd(text.substr(0, begin)));
    if (token->takes_after) end += WhiteSpaceAtBegin(text.substr(end));
    if (done < begin) pieces.push_back({text.substr(done, begin - done), kNoToken});
    pieces.push_back({text.substr(begin, end - begin), token->id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({text.substr(done), kNoToken});
  return pieces;
}

bool AddedTokens::MayReach(std::string_view text, size_t at) const {
  for (size_t begin = at - std::min(at, longest_); begin < at; ++begin) {
    const Match match = Longest(text.substr(begin));
    if (match.may_go_on || (match.token && begin + match.token->content.size() >= at)) return true;
  }
  return false;
}

size_t WhiteSpaceAtBegin(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    const CodePoint character = FirstCodePoint(text.substr(size));
    if (!IsWhiteSpace(character.value)) break;
    size += character.size;
  }
  return size;
}

size_t WhiteSpaceAtEnd(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    size_t begin = text.size() - size - 1;
    while (IsUtf8Continuation(text[begin])) --begin;
    if (!IsWhiteSpace(FirstCodePoint(text.substr(begin)).value)) break;
    size = text.size() - begin;
  }
  return size;
}

}  // namespace sinkstream
