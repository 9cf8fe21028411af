// SessionPool: admits sessions and ends them. It owns every session and the blocks of the KV pool.
//
// A session's blocks are known when it opens (engine/kv/kv_window.h), so admission is exact: the
// blocks of all sessions together, and what one step takes meanwhile, never exceed the pool. What
// does not fit is refused at the door; nothing admitted is ever ended for memory. Engine thread
// only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/kv/kv_blocks.h"
#include "engine/model.h"
#include "engine/session/session.h"

namespace sinkstream {

class SessionPool {
 public:
  struct Options {
    int32_t max_sessions = 0;
    int32_t max_principal_sessions = 0;  // of one principal; 0: max_sessions
    int32_t slack_blocks = 0;            // kept for what one step takes meanwhile (StepSlackBlocks)
  };

  // `spec` outlives the pool.
  SessionPool(const ModelSpec& spec, Options options);

  // A new session; its settings have been checked. `prefix`: the system prompt's tokens, if they
  // are just what is pinned; if a live session has read them, the new one stands behind them at
  // once. RESOURCE_EXHAUSTED: what CheckPlace says, or KV_MEMORY, with RetryInfo unless it can
  // never fit.
  absl::StatusOr<Session*> Open(SessionId id, std::string principal, SessionSettings settings,
                                std::vector<TokenId> prefix, absl::Time now);
  // Blocks that Open reserves for such a session, and those that are left for it. More than that is
  // refused.
  int64_t BlocksNeeded(const std::string& principal, const SessionSettings& settings,
                       const std::vector<TokenId>& prefix) const;
  int64_t BlocksLeft() const;
  // What such a session is refused with: RESOURCE_EXHAUSTED, KV_MEMORY.
  absl::Status NoMemory(int64_t needed, absl::Time now) const;
  // OK if there may be one more session, and one more of this principal. Else RESOURCE_EXHAUSTED:
  // MAX_SESSIONS or MAX_PRINCIPAL_SESSIONS.
  absl::Status CheckPlace(const std::string& principal, absl::Time now) const;

  // The blocks that are `session`'s alone, in a fixed order. Those of a shared prefix are not.
  static std::vector<BlockId> OwnBlocks(const Session& session);
  // Gives them and their reservation up while they are parked, and takes as many again. Requires of
  // the latter: BlocksLeft() is enough.
  void GiveBlocksUp(Session& session);
  void TakeBlocksBack(Session& session);

  // Once `session` has read its prefix, others may share it. Call after each advance; does nothing
  // most of the time.
  void ShareReadPrefix(Session& session);
  // Puts `session`, which has fed nothing yet, behind its prefix if others have read that since it
  // opened. Returns the tokens that are left out of what it owes; 0 if none.
  int64_t JoinReadPrefix(Session& session);
  // Whether another session, which can go on, is reading the prefix that `session`, which has fed
  // nothing yet, begins with, or will do so before it: the one that opened first.
  bool PrefixIsBeingRead(const Session& session) const;
  // The session of that id if it is this principal's; null if there is none.
  Session* Find(const SessionId& id, const std::string& principal);
  // The session an attachment holds; null if it holds none (any more).
  Session* Attached(AttachmentId attachment);
  void Attach(Session& session, AttachmentId attachment, std::shared_ptr<Outbox> outbox);
  void Detach(Session& session, absl::Time now);
  // Gives its blocks back; `session` is gone.
  void Close(Session& session);

  // Sessions whose idle timeout has passed, and when the next one's will (InfiniteFuture if no
  // session is idle). Those on their way to or from the park, and those that a stream waits for,
  // are left out.
  std::vector<Session*> Expired(absl::Time now);
  absl::Time NextExpiry() const;

  // Oldest first. Valid until a session opens or closes.
  const std::vector<Session*>& All() const { return all_; }

  KvBlocks& blocks() { return blocks_; }
  const KvBlocks& blocks() const { return blocks_; }
  int64_t block_bytes() const { return spec_.block_bytes; }
  int64_t size() const { return static_cast<int64_t>(sessions_.size()); }
  int64_t attached() const { return static_cast<int64_t>(by_attachment_.size()); }
  int32_t reserved_blocks() const { return reserved_blocks_; }

 private:
  static absl::Time ExpiryOf(const Session& session);
  void JoinPrefix(Session& session, const std::vector<BlockId>& blocks);

  const ModelSpec& spec_;
  const Options options_;
  KvBlocks blocks_;
  SharedPrefixes prefixes_;
  int32_t reserved_blocks_ = 0;
  std::map<uint64_t, std::unique_ptr<Session>> sessions_;  // by serial number: oldest first
  std::vector<Session*> all_;
  std::map<SessionId, uint64_t> by_id_;
  std::map<AttachmentId, Session*> by_attachment_;
  uint64_t next_serial_ = 0;
};

}  // namespace sinkstream
