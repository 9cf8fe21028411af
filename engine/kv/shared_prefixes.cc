#include "engine/kv/shared_prefixes.h"

#include "engine/check.h"

namespace sinkstream {

const std::vector<BlockId>* SharedPrefixes::Find(const Key& key) const {
  const auto found = prefixes_.find(key);
  return found == prefixes_.end() ? nullptr : &found->second.blocks;
}

void SharedPrefixes::Join(const Key& key, const std::vector<BlockId>& blocks) {
  Prefix& prefix = prefixes_[key];
  if (prefix.sessions++ == 0) prefix.blocks = blocks;
}

bool SharedPrefixes::Leave(const Key& key) {
  const auto found = prefixes_.find(key);
  SINKSTREAM_CHECK(found != prefixes_.end());
  if (--found->second.sessions > 0) return false;
  prefixes_.erase(found);
  return true;
}

}  // namespace sinkstream
