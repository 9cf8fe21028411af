#include "client/eval/score_client.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/connection.h"
#include "client/eval/console.h"
#include "client/tool/model_calls.h"
#include "client/wire_status.h"

namespace sinkstream::eval {
namespace {

// Of a call that scores: a busy server serves others meanwhile.
constexpr absl::Duration kScoreDeadline = absl::Minutes(30);
// For a server that has no room.
constexpr absl::Duration kRoomPatience = absl::Minutes(5);

// The answer of the call that was not told to wait.
template <typename Call>
auto AnswerWithPatience(ScoreClient& client, const Call& call) -> decltype(call()) {
  decltype(call()) answer = absl::CancelledError("");
  const absl::Status status = client.WithPatience([&] {
    answer = call();
    return answer.status();
  });
  if (!status.ok()) return status;
  return answer;
}

std::vector<float> ToFloats(const std::string& bytes) {
  static_assert(std::endian::native == std::endian::little, "as on the wire");
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

}  // namespace

absl::Status AddScores(const v1::Scores& answer, std::span<const int32_t> ids,
                       int32_t distribution_tokens, std::vector<TokenScore>& scores) {
  for (int i = 0; i < answer.logprobs_size(); ++i) {
    const v1::TokenLogprob& chosen = answer.logprobs(i).chosen();
    if (scores.size() >= ids.size() || chosen.token_id() != ids[scores.size()]) {
      return absl::InternalError("the server has scored other tokens than it was asked to");
    }
    TokenScore& score = scores.emplace_back();
    score.nll = -double{chosen.logprob()};
    if (i < answer.distributions_size()) score.distribution = ToFloats(answer.distributions(i));
    if (std::ssize(score.distribution) != distribution_tokens) {
      return absl::InternalError(absl::StrCat("the server's distribution has ",
                                              score.distribution.size(), " tokens; must be of ",
                                              distribution_tokens));
    }
  }
  return absl::OkStatus();
}

ScoreClient::ScoreClient(const std::string& server, const Credentials& credentials)
    : server_(server),
      credentials_(credentials),
      channel_(sinkstream::Connect(server, ClientPatience(), credentials)),
      chat_(v1::ChatService::NewStub(channel_)),
      score_(v1::ScoreService::NewStub(channel_)) {}

absl::Status ScoreClient::Connect() {
  auto model = AnswerWithPatience(*this, [this] { return GetModel(*chat_); });
  if (model.ok()) {
    model_ = *std::move(model);
    return absl::OkStatus();
  }
  const absl::Status& status = model.status();
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), ConnectionHint(status, credentials_)));
}

absl::StatusOr<v1::GetLoadResponse> ScoreClient::GetLoad() {
  return AnswerWithPatience(*this, [this] { return sinkstream::GetLoad(*chat_); });
}

absl::StatusOr<std::vector<int32_t>> ScoreClient::Tokenize(const std::string& text) {
  return AnswerWithPatience(*this, [&] { return sinkstream::Tokenize(*chat_, text); });
}

absl::StatusOr<TokenScore> ScoreClient::ScoreLast(std::span<const int32_t> ids, bool distribution) {
  v1::ScoreRequest request;
  request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  request.set_sinks(0);
  request.set_window(std::ssize(ids) - 1);
  request.mutable_scoring()->set_skip_tokens(static_cast<int32_t>(ids.size() - 1));
  request.mutable_scoring()->set_distributions(distribution);
  std::vector<TokenScore> scores;
  const absl::Status status = WithPatience([&] {
    scores.clear();
    grpc::ClientContext context;
    SetDeadline(context, kScoreDeadline);
    const auto answers = score_->Score(&context, request);
    absl::Status added;
    v1::ScoreResponse answer;
    while (answers->Read(&answer)) {
      added.Update(
          AddScores(answer.scores(), ids.last(1), distribution ? model_.vocab_size() : 0, scores));
    }
    const absl::Status ended = ToAbsl(answers->Finish());
    return ended.ok() ? added : ended;
  });
  if (!status.ok()) return status;
  if (scores.empty()) return absl::InternalError("the server has left out the token's score");
  return std::move(scores.front());
}

absl::Status ScoreClient::WithPatience(const std::function<absl::Status()>& call) {
  const absl::Time patience_ends = absl::Now() + kRoomPatience;
  while (!stopped_) {
    const absl::Status status = call();
    if (status.ok()) return status;
    const std::optional<absl::Duration> delay = RetryDelay(status);
    if (!absl::IsResourceExhausted(status) || !delay || absl::Now() + *delay > patience_ends) {
      return Named(server_, status);
    }
    if (!told_of_waiting_.exchange(true)) {
      Note(absl::StrCat(server_, ": has no room (", status.message(), "): waiting"));
    }
    absl::SleepFor(*delay);
  }
  return absl::CancelledError("interrupted");
}

absl::Status RunAll(size_t count, int64_t threads,
                    const std::function<absl::Status(size_t)>& task) {
  std::vector<absl::Status> statuses(count);
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  const auto work = [&] {
    for (size_t i; !failed && (i = next++) < count;) {
      statuses[i] = task(i);
      if (!statuses[i].ok()) failed = true;
    }
  };
  std::vector<std::thread> others;
  for (int64_t i = 1; i < std::min(threads, std::ssize(statuses)); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  const auto error = std::find_if(statuses.begin(), statuses.end(),
                                  [](const absl::Status& status) { return !status.ok(); });
  return error == statuses.end() ? absl::OkStatus() : *error;
}

}  // namespace sinkstream::eval
