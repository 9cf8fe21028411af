// SharedPrefixes: pinned system prompts that live sessions have read, so that another session of
// the same principal with the same prompt uses their blocks instead of reading it again. Sound
// because keys and values of the pinned tokens depend on nothing but these tokens, at every layer,
// bit for bit (docs/adr/0006). Engine thread only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/kv/kv_blocks.h"
#include "engine/types.h"

namespace sinkstream {

class SharedPrefixes {
 public:
  // Whose, and which tokens from the start of the stream. Never shared between principals: the time
  // to the first token would tell one what another has asked.
  using Key = std::pair<std::string, std::vector<TokenId>>;

  // The blocks of `key` in the order of their tokens; null if no live session has read it.
  const std::vector<BlockId>* Find(const Key& key) const;
  // One more session uses `key`; the first one brings the blocks.
  void Join(const Key& key, const std::vector<BlockId>& blocks);
  // One session less. True if it was the last one: `key` is forgotten.
  bool Leave(const Key& key);

 private:
  struct Prefix {
    std::vector<BlockId> blocks;
    int32_t sessions = 0;
  };
  std::map<Key, Prefix> prefixes_;
};

}  // namespace sinkstream
