#include "client/eval/drift_session.h"

#include <algorithm>

#include "client/eval/evaluation.h"
#include "client/eval/policy.h"

namespace sinkstream::eval {

absl::StatusOr<std::unique_ptr<DriftSession>> DriftSession::Find(ScoreClient& client,
                                                                 std::span<const int32_t> ids,
                                                                 int64_t position,
                                                                 const std::string& id) {
  v1::Open open;
  open.set_session_id(id);
  auto session = ScoredSession::Open(client, open);
  // DATA_LOSS: it was parked and could not be read back.
  if (absl::IsNotFound(session.status()) || absl::IsDataLoss(session.status())) return nullptr;
  if (!session.ok()) return session.status();
  // A scored append keeps its last token for the next one: where that has been fed too, the session
  // has read on.
  if ((*session)->opened().position() == std::max<int64_t>(0, position - 1)) {
    return std::unique_ptr<DriftSession>(new DriftSession(*std::move(session), ids, position));
  }
  (*session)->Close();
  return nullptr;
}

absl::StatusOr<std::unique_ptr<DriftSession>> DriftSession::Open(ScoreClient& client,
                                                                 std::span<const int32_t> ids,
                                                                 int64_t sinks, int64_t window) {
  v1::Open open = SessionOf({PolicyKind::kSink, sinks, window});
  *open.mutable_idle_timeout() = client.model().limits().max_idle_timeout();
  auto session = ScoredSession::Open(client, open);
  if (!session.ok()) return session.status();
  return std::unique_ptr<DriftSession>(new DriftSession(*std::move(session), ids, 0));
}

DriftSession::~DriftSession() {
  if (session_) session_->Leave();
}

absl::Status DriftSession::Skip(int64_t end) { return Append(end, end - position_).status(); }

absl::StatusOr<std::vector<TokenScore>> DriftSession::Score(int64_t end) {
  return Append(end, position_ == 0 ? 1 : 0);
}

absl::StatusOr<std::vector<TokenScore>> DriftSession::Append(int64_t end, int64_t skip) {
  const auto piece =
      ids_.subspan(static_cast<size_t>(position_), static_cast<size_t>(end - position_));
  auto scores = session_->Append(piece, skip, /*distributions=*/false);
  if (scores.ok()) position_ = end;
  return scores;
}

void DriftSession::Close() { std::exchange(session_, nullptr)->Close(); }

}  // namespace sinkstream::eval
