#include "client/eval/scored_session.h"

#include <utility>

#include "absl/time/clock.h"
#include "client/wire_status.h"

namespace sinkstream::eval {
namespace {

// For the next answer: a busy server serves others meanwhile.
constexpr absl::Duration kAnswerPatience = absl::Minutes(10);
constexpr absl::Duration kEndPatience = absl::Seconds(10);

}  // namespace

ScoredSession::ScoredSession(ScoreClient& client, std::unique_ptr<ConverseCall> stream,
                             v1::Opened opened)
    : client_(client), stream_(std::move(stream)), opened_(std::move(opened)) {}

absl::StatusOr<std::unique_ptr<ScoredSession>> ScoredSession::Open(ScoreClient& client,
                                                                   const v1::Open& open) {
  std::unique_ptr<ConverseCall> stream;
  v1::Opened opened;
  const absl::Status status = client.WithPatience([&]() -> absl::Status {
    stream = std::make_unique<ConverseCall>(client.chat());
    const auto answer = stream->Open(open, absl::Now() + kAnswerPatience);
    if (answer.ok()) opened = *answer;
    return answer.status();
  });
  if (!status.ok()) return status;
  return std::unique_ptr<ScoredSession>(
      new ScoredSession(client, std::move(stream), std::move(opened)));
}

absl::StatusOr<std::vector<TokenScore>> ScoredSession::Append(std::span<const int32_t> ids,
                                                              int64_t skip, bool distributions) {
  v1::Append append;
  append.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  append.mutable_scoring()->set_skip_tokens(static_cast<int32_t>(skip));
  append.mutable_scoring()->set_distributions(distributions);
  const std::span<const int32_t> scored = ids.subspan(static_cast<size_t>(skip));
  std::vector<TokenScore> scores;
  // What was refused for want of room has changed nothing, and may be asked for again.
  const absl::Status status = client_.WithPatience([&] { return Ask(append, scored, scores); });
  if (!status.ok()) return status;
  if (scores.size() != scored.size()) {
    return absl::InternalError("the server has left out scores");
  }
  return scores;
}

absl::Status ScoredSession::Ask(const v1::Append& append, std::span<const int32_t> scored,
                                std::vector<TokenScore>& scores) {
  v1::ConverseRequest request;
  *request.mutable_append() = append;
  request.mutable_append()->set_request_id(++requests_);
  stream_->Send(std::move(request));
  while (const auto answer = stream_->Next(absl::Now() + kAnswerPatience)) {
    if (answer->has_scores()) {
      const absl::Status added =
          AddScores(answer->scores(), scored,
                    append.scoring().distributions() ? client_.model().vocab_size() : 0, scores);
      if (!added.ok()) return added;
    }
    if (answer->has_failed()) return ToAbsl(answer->failed().status());
    if (answer->has_append_done()) return absl::OkStatus();
  }
  // Without advice to try again: an ended stream takes no request.
  const absl::Status ended = stream_->Status();
  if (ended.ok()) return absl::UnavailableError("the server ended the stream");
  return absl::Status(ended.code(), ended.message());
}

void ScoredSession::Close() {
  v1::ConverseRequest request;
  request.mutable_close();
  stream_->Send(std::move(request));
  Leave();
}

void ScoredSession::Leave() {
  stream_->HalfClose();
  while (stream_->Next(absl::Now() + kEndPatience)) {
  }
}

}  // namespace sinkstream::eval
