#include "engine/session/session_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/check.h"
#include "engine/errors.h"

namespace sinkstream {

namespace {

absl::Duration RetryAfter(absl::Time now, absl::Time next_expiry) {
  return std::clamp(next_expiry - now, absl::Seconds(1), absl::Seconds(30));
}

}  // namespace

SessionPool::SessionPool(const ModelSpec& spec, Options options)
    : spec_(spec), options_(options), blocks_(spec.num_blocks) {}

absl::Status SessionPool::CheckPlace(const std::string& principal, absl::Time now) const {
  // First: what would help this principal is the end of a session of its own.
  if (options_.max_principal_sessions > 0) {
    int32_t held = 0;
    auto next_expiry = absl::InfiniteFuture();
    for (const Session* const session : all_) {
      if (session->principal != principal) continue;
      ++held;
      next_expiry = std::min(next_expiry, ExpiryOf(*session));
    }
    if (held >= options_.max_principal_sessions) {
      return Exhausted(Refusal::kMaxPrincipalSessions,
                       absl::StrCat("max_principal_sessions: all ", options_.max_principal_sessions,
                                    " sessions that one principal may have are taken"),
                       RetryAfter(now, next_expiry));
    }
  }
  if (size() < options_.max_sessions) return absl::OkStatus();
  return Exhausted(Refusal::kMaxSessions,
                   absl::StrCat("max_sessions: all ", options_.max_sessions, " sessions are taken"),
                   RetryAfter(now, NextExpiry()));
}

absl::StatusOr<Session*> SessionPool::Open(SessionId id, std::string principal,
                                           SessionSettings settings, std::vector<TokenId> prefix,
                                           absl::Time now) {
  const auto place = CheckPlace(principal, now);
  if (!place.ok()) return place;
  const int64_t needed = BlocksNeeded(principal, settings, prefix);
  SharedPrefixes::Key key(principal, std::move(prefix));
  const auto* const shared = prefixes_.Find(key);
  if (needed > BlocksLeft()) return NoMemory(needed, now);
  auto session = std::make_unique<Session>(std::move(id), std::move(principal), std::move(settings),
                                           spec_.block_tokens);
  session->opened = now;
  session->detached_at = now;
  session->prefix = std::move(key);
  session->reserved_blocks = static_cast<int32_t>(needed);
  reserved_blocks_ += session->reserved_blocks;
  if (shared != nullptr) JoinPrefix(*session, *shared);
  Session* const opened = session.get();
  all_.push_back(opened);
  by_id_[opened->id] = next_serial_;
  sessions_[next_serial_++] = std::move(session);
  return opened;
}

int64_t SessionPool::BlocksNeeded(const std::string& principal, const SessionSettings& settings,
                                  const std::vector<TokenId>& prefix) const {
  const int64_t all = MaxSessionBlocks(settings.sinks, settings.window, spec_.block_tokens);
  const auto* const shared = prefixes_.Find({principal, prefix});
  return shared == nullptr ? all : all - static_cast<int64_t>(shared->size());
}

absl::Status SessionPool::NoMemory(int64_t needed, absl::Time now) const {
  const int64_t of_sessions = int64_t{spec_.num_blocks} - options_.slack_blocks;
  const std::string session = absl::StrCat("kv_bytes: this session needs ",
                                           needed * spec_.block_bytes, " bytes of KV memory, ");
  if (needed > of_sessions) {
    return Exhausted(Refusal::kKvMemory,
                     absl::StrCat(session, of_sessions * spec_.block_bytes,
                                  " are all there is for sessions: ask for a smaller window"),
                     std::nullopt);
  }
  return Exhausted(Refusal::kKvMemory,
                   absl::StrCat(session, BlocksLeft() * spec_.block_bytes, " of ",
                                of_sessions * spec_.block_bytes, " are left"),
                   RetryAfter(now, NextExpiry()));
}

int64_t SessionPool::BlocksLeft() const {
  return int64_t{spec_.num_blocks} - options_.slack_blocks - reserved_blocks_;
}

std::vector<BlockId> SessionPool::OwnBlocks(const Session& session) {
  std::vector<BlockId> own;
  if (!session.shares_prefix) own = session.window.pinned_blocks();
  const auto& recent = session.window.recent_blocks();
  own.insert(own.end(), recent.begin(), recent.end());
  return own;
}

void SessionPool::GiveBlocksUp(Session& session) {
  session.window.Vacate(!session.shares_prefix, blocks_);
  reserved_blocks_ -= session.reserved_blocks;
}

void SessionPool::TakeBlocksBack(Session& session) {
  SINKSTREAM_CHECK(session.reserved_blocks <= BlocksLeft());
  reserved_blocks_ += session.reserved_blocks;
  session.window.Refill(blocks_);
}

void SessionPool::JoinPrefix(Session& session, const std::vector<BlockId>& blocks) {
  session.window.UsePinned(blocks, blocks_);
  session.shares_prefix = true;
  prefixes_.Join(session.prefix, blocks);
}

void SessionPool::ShareReadPrefix(Session& session) {
  const bool read = session.window.position() >= session.window.sinks();
  if (session.shares_prefix || session.prefix.second.empty() || !read) return;
  const auto count = static_cast<int32_t>(session.window.pinned_blocks().size());
  session.reserved_blocks -= count;  // from now on the prefix's own
  const auto* const shared = prefixes_.Find(session.prefix);
  if (shared != nullptr)
    reserved_blocks_ -= count;  // read twice at the same time: one copy is given up
  JoinPrefix(session, shared != nullptr ? std::vector<BlockId>(*shared)
                                        : std::vector<BlockId>(session.window.pinned_blocks()));
}

int64_t SessionPool::JoinReadPrefix(Session& session) {
  const auto* const shared = prefixes_.Find(session.prefix);
  if (shared == nullptr) return 0;
  const auto count = static_cast<int32_t>(shared->size());
  session.reserved_blocks -= count;
  reserved_blocks_ -= count;
  JoinPrefix(session, *shared);
  return session.window.position();
}

bool SessionPool::PrefixIsBeingRead(const Session& session) const {
  bool earlier = true;
  for (const Session* const other : all_) {
    if (other == &session) {
      earlier = false;
      continue;
    }
    const int64_t position = other->window.position();
    const bool reads = position == 0 ? earlier : position < other->window.sinks();
    if (reads && other->CanGoOn() && other->prefix == session.prefix) return true;
  }
  return false;
}

Session* SessionPool::Find(const SessionId& id, const std::string& principal) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return nullptr;
  Session* const session = sessions_.at(found->second).get();
  return session->principal == principal ? session : nullptr;
}

Session* SessionPool::Attached(AttachmentId attachment) {
  const auto found = by_attachment_.find(attachment);
  return found == by_attachment_.end() ? nullptr : found->second;
}

void SessionPool::Attach(Session& session, AttachmentId attachment,
                         std::shared_ptr<Outbox> outbox) {
  SINKSTREAM_CHECK(session.outbox == nullptr);
  session.outbox = std::move(outbox);
  session.attachment = attachment;
  session.half_closed = false;
  session.paused = false;
  by_attachment_[attachment] = &session;
}

void SessionPool::Detach(Session& session, absl::Time now) {
  by_attachment_.erase(session.attachment);
  session.outbox = nullptr;
  session.attachment = 0;
  session.detached_at = now;
}

void SessionPool::Close(Session& session) {
  if (session.shares_prefix && prefixes_.Leave(session.prefix)) {
    reserved_blocks_ -= static_cast<int32_t>(session.window.pinned_blocks().size());
  }
  session.window.Clear(blocks_);
  if (session.cache != Session::Cache::kParked) reserved_blocks_ -= session.reserved_blocks;
  by_attachment_.erase(session.attachment);
  const auto found = by_id_.find(session.id);
  const uint64_t serial = found->second;
  std::erase(all_, &session);
  by_id_.erase(found);
  sessions_.erase(serial);
}

absl::Time SessionPool::ExpiryOf(const Session& session) {
  const bool moves =
      session.cache == Session::Cache::kSaving || session.cache == Session::Cache::kLoading;
  if (session.outbox != nullptr || moves || session.claims > 0) return absl::InfiniteFuture();
  if (session.closes) return absl::InfinitePast();
  return session.detached_at + session.settings.idle_timeout;
}

std::vector<Session*> SessionPool::Expired(absl::Time now) {
  std::vector<Session*> expired;
  for (const auto& [serial, session] : sessions_) {
    if (ExpiryOf(*session) <= now) expired.push_back(session.get());
  }
  return expired;
}

absl::Time SessionPool::NextExpiry() const {
  auto next = absl::InfiniteFuture();
  for (const auto& [serial, session] : sessions_) {
    next = std::min(next, ExpiryOf(*session));
  }
  return next;
}

}  // namespace sinkstream
