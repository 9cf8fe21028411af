#include "engine/text/added_tokens.h"

#include <algorithm>
#include <utility>

#include "engine/text/unicode.h"

namespace sinkstream {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    trie_.Add(tokens_[i].content, static_cast<int32_t>(i));
    longest_ = std::max(longest_, tokens_[i].content.size());
  }
}

AddedTokens::Match AddedTokens::Longest(std::string_view text) const {
  Match match;
  ByteTrie::Node node = ByteTrie::kRoot;
  for (const char byte : text) {
    node = trie_.Next(node, byte);
    if (node == ByteTrie::kNone) return match;
    if (const int32_t index = trie_.Value(node); index >= 0) match.token = &tokens_[index];
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

}  // namespace sinkstream
