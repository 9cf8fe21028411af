// DriftSession: the session in which a drift run reads its stream. Found again where a former run
// left it, else made anew and brought to the same token.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/eval/scored_session.h"

namespace sinkstream::eval {

class DriftSession {
 public:
  // Session `id`, if it has read `ids` up to `position` and no further: nothing if it is gone, or
  // has read on unheard, and then it is closed. `client` and `ids` outlive it, here and below.
  static absl::StatusOr<std::unique_ptr<DriftSession>> Find(ScoreClient& client,
                                                            std::span<const int32_t> ids,
                                                            int64_t position,
                                                            const std::string& id);
  // A new session, which has read nothing. It waits for a run that goes on as long as the server
  // lets it.
  static absl::StatusOr<std::unique_ptr<DriftSession>> Open(ScoreClient& client,
                                                            std::span<const int32_t> ids,
                                                            int64_t sinks, int64_t window);
  // It stays for a run that goes on.
  ~DriftSession();
  DriftSession(const DriftSession&) = delete;
  DriftSession& operator=(const DriftSession&) = delete;

  const std::string& id() const { return session_->opened().session_id(); }

  int64_t position() const { return position_; }

  // Reads the tokens up to `end`, unscored. Requires: at most ScoredSession::kMostTokens, here and
  // below.
  absl::Status Skip(int64_t end);
  // The scores of the tokens up to `end`; the first of the stream has none.
  absl::StatusOr<std::vector<TokenScore>> Score(int64_t end);
  // Ends the session. The last call.
  void Close();

 private:
  DriftSession(std::unique_ptr<ScoredSession> session, std::span<const int32_t> ids,
               int64_t position)
      : session_(std::move(session)), ids_(ids), position_(position) {}
  absl::StatusOr<std::vector<TokenScore>> Append(int64_t end, int64_t skip);

  std::unique_ptr<ScoredSession> session_;  // null: closed
  std::span<const int32_t> ids_;
  int64_t position_;  // read so far
};

}  // namespace sinkstream::eval
