// The vocabulary of the scheduler's tests: a scheduler over the fake model, driven by hand, and
// streams that attach to it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/scheduler.h"
#include "engine/text/stable_boundaries.h"
#include "tests/engine/transcript.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_model.h"
#include "tests/fakes/fake_park.h"
#include "tests/fakes/fake_text.h"

namespace sinkstream {

class CountingObserver final : public EngineObserver {
 public:
  void OnSessionStart(const SessionStart& start) override {
    ++(start.resumed ? resumed : opened);
    prefixes += start.has_prefix ? 1 : 0;
    shared_tokens += start.shared_tokens;
  }
  void OnPrefixJoined(int64_t tokens) override { joined_tokens += tokens; }
  void OnSessionEnd(const SessionEnd& end) override { closed.push_back(end.reason); }
  void OnStep(const StepStats& stats) override { steps.push_back(stats); }
  void OnRequestEnd(const RequestEnd& end) override {
    ends.push_back({end.replies, end.reason, end.status, end.usage, end.timings, end.trace});
  }
  void OnRejected(Refusal refusal) override { rejected.push_back(refusal); }
  void OnParkEnd(const ParkEnd& end) override {
    parked.push_back(end);
    if (!end.status.ok()) park_failures.push_back(end.status);
  }
  void OnPaused() override { ++pauses; }

  struct End {
    bool replies = false;
    std::optional<FinishReason> reason;
    absl::Status status;
    Usage usage;
    Timings timings;
    std::optional<TraceContext> trace;
  };
  int opened = 0, resumed = 0, prefixes = 0;
  int64_t shared_tokens = 0;
  int64_t joined_tokens = 0;
  std::vector<StepStats> steps;
  std::vector<End> ends;
  std::vector<ParkEnd> parked;
  std::vector<CloseReason> closed;
  std::vector<Refusal> rejected;
  std::vector<absl::Status> park_failures;
  int pauses = 0;
};

// What a stream has been told so far.
struct Heard {
  std::optional<Opened> opened;
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<ChosenLogprob> logprobs;
  std::vector<Scores> scores;
  std::vector<TurnDone> turns;
  std::vector<AppendDone> appends;
  std::vector<RequestFailed> failures;
  std::vector<WindowMoved> windows;
  std::vector<PrefillProgress> progress;
  std::vector<GoAway> farewells;
  std::optional<absl::Status> closed;
  std::string transcript;  // all of it in order (transcript.h)
};

inline SamplingOverrides Greedy(int32_t max_tokens = 50) {
  SamplingOverrides sampling;
  sampling.temperature = 0;
  sampling.max_tokens = max_tokens;
  return sampling;
}

class Stream {
 public:
  Stream(Scheduler& scheduler, const ChatFormat& format, AttachmentId attachment, size_t capacity)
      : scheduler_(scheduler),
        format_(format),
        attachment_(attachment),
        outbox_(std::make_shared<Outbox>(capacity, [] {})) {}

  void Open(OpenRequest request = {}) {
    OpenCommand command;
    command.attachment = attachment_;
    if (request.system_prompt) {
      command.system_turn = format_.EncodeBegin(FakeTokenizer(), request.system_prompt);
    }
    command.request = std::move(request);
    command.request.system_prompt.reset();
    command.outbox = outbox_;
    scheduler_.Handle(std::move(command));
  }
  void Say(const std::string& text, SamplingOverrides sampling = Greedy(), uint64_t id = 1) {
    RequestCommand command{attachment_, id, true, {}, std::move(sampling)};
    command.input.user_turn = format_.EncodeUserTurn(FakeTokenizer(), text);
    scheduler_.Handle(std::move(command));
  }
  void Feed(std::vector<TokenId> tokens, SamplingOverrides sampling = Greedy(), uint64_t id = 1) {
    RequestCommand command{attachment_, id, true, {}, std::move(sampling)};
    command.input.tokens = std::move(tokens);
    scheduler_.Handle(std::move(command));
  }
  void Append(const std::string& text, uint64_t id = 1,
              std::optional<ScoringParams> scoring = std::nullopt) {
    RequestCommand command{attachment_, id, false, {}, {}, scoring};
    command.input.text = SplitAtStableBoundaries(FakeTokenizer(), text);
    scheduler_.Handle(std::move(command));
  }
  // An append of token ids, scored.
  void Score(std::vector<TokenId> tokens, ScoringParams scoring = {}, uint64_t id = 1) {
    RequestCommand command{attachment_, id, false, {}, {}, scoring};
    command.input.tokens = std::move(tokens);
    scheduler_.Handle(std::move(command));
  }
  void Cancel() { scheduler_.Handle(CancelCommand{attachment_}); }
  void Close() { scheduler_.Handle(CloseCommand{attachment_}); }
  void HalfClose() { scheduler_.Handle(HalfCloseCommand{attachment_}); }
  void Vanish() {
    outbox_->Detach();
    scheduler_.Handle(DetachCommand{attachment_});
  }

  // Reads everything that waits.
  const Heard& Read() {
    auto batch = outbox_->TakeAll();
    for (auto& event : batch.events) {
      heard_.transcript += Describe(event);
      std::visit([this](auto& e) { Hear(e); }, event);
    }
    if (batch.closed) heard_.closed = batch.closed;
    return heard_;
  }
  SessionId id() { return Read().opened.value().id; }

 private:
  void Hear(Opened& e) { heard_.opened = e; }
  void Hear(PrefillProgress& e) { heard_.progress.push_back(e); }
  void Hear(Delta& e) {
    heard_.text += e.text;
    heard_.tokens.insert(heard_.tokens.end(), e.tokens.begin(), e.tokens.end());
    heard_.logprobs.insert(heard_.logprobs.end(), e.logprobs.begin(), e.logprobs.end());
  }
  void Hear(Scores& e) {
    e.room = nullptr;
    heard_.scores.push_back(e);
  }
  void Hear(TurnDone& e) { heard_.turns.push_back(e); }
  void Hear(AppendDone& e) { heard_.appends.push_back(e); }
  void Hear(WindowMoved& e) { heard_.windows.push_back(e); }
  void Hear(RequestFailed& e) { heard_.failures.push_back(e); }
  void Hear(GoAway& e) { heard_.farewells.push_back(e); }

  Scheduler& scheduler_;
  const ChatFormat& format_;
  const AttachmentId attachment_;
  std::shared_ptr<Outbox> outbox_;
  Heard heard_;
};

// Small enough that windows turn over and prompts take several chunks within a test.
inline EngineOptions SmallOptions() {
  EngineOptions options;
  options.defaults.sinks = 4;
  options.defaults.window = 12;
  options.limits.step_tokens = 16;
  options.limits.prefill_chunk = 8;
  options.limits.max_prefills_per_step = 2;
  options.limits.outbox_capacity = 8;
  return options;
}

// The same with a window that keeps all of a short conversation.
inline EngineOptions WideOptions() {
  EngineOptions options = SmallOptions();
  options.defaults.window = 200;
  return options;
}

// A scheduler over a fake model of 64 blocks of 4 tokens.
class Conversation {
 public:
  explicit Conversation(FakeModel::Options model = {}, EngineOptions options = SmallOptions(),
                        size_t parked_blocks = 0, ChatFormat format = FakeChatFormat())
      : format_(std::move(format)),
        model_(std::move(model)),
        park_(model_, parked_blocks),
        scheduler_(options, {model_, tokenizer_, format_, observer_, clock_,
                             [this] { return ++random_; }, parked_blocks > 0 ? &park_ : nullptr}) {}

  Stream& NewStream(size_t capacity = 1000) {
    streams_.push_back(std::make_unique<Stream>(scheduler_, format_, ++attachments_, capacity));
    return *streams_.back();
  }
  Stream& OpenStream(OpenRequest request = {}, size_t capacity = 1000) {
    Stream& stream = NewStream(capacity);
    stream.Open(std::move(request));
    return stream;
  }
  // Steps until nothing can go on; at most `most`.
  int Run(int most = 10000) {
    int steps = 0;
    while (steps < most && scheduler_.RunStep()) ++steps;
    return steps;
  }
  // Ends the oldest work of the park.
  void EndParking(absl::Status status = absl::OkStatus()) {
    scheduler_.Handle(ParkCommand{park_.End(std::move(status))});
  }
  void EndAllParking() {
    while (park_.Works()) EndParking();
  }
  Scheduler& scheduler() { return scheduler_; }
  FakePark& park() { return park_; }
  FakeModel& model() { return model_; }
  FakeClock& clock() { return clock_; }
  CountingObserver& observer() { return observer_; }

 private:
  FakeTokenizer tokenizer_;
  const ChatFormat format_;
  FakeModel model_;
  FakePark park_;
  FakeClock clock_;
  CountingObserver observer_;
  uint64_t random_ = 0;
  AttachmentId attachments_ = 0;
  Scheduler scheduler_;
  std::vector<std::unique_ptr<Stream>> streams_;
};

inline FakeModel::Options Says(const std::string& words) { return {.next = Saying(words)}; }

// Says `words`; `seen` is what the latest row saw.
inline FakeModel::Options SaysAndShows(const std::string& words, std::string& seen) {
  return {.next = [&seen, next = Saying(words)](const std::vector<TokenId>& visible) {
    seen = Spell(visible);
    return next(visible);
  }};
}

inline OpenRequest With(std::optional<int32_t> sinks, std::optional<int64_t> window) {
  OpenRequest request;
  request.sinks = sinks;
  request.window = window;
  return request;
}

inline std::vector<TokenId> Numbers(int count, int salt) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back((i * 7 + salt) % 90 + 32);
  return tokens;
}

// The greedy reply that the definition gives: no cache, no blocks, the set of visible tokens
// written out for each token.
inline std::vector<TokenId> ReplyByDefinition(std::vector<TokenId> text, int32_t sinks,
                                              int64_t window, int count,
                                              const NextToken& next = HashOfVisible) {
  std::vector<TokenId> reply;
  for (int i = 0; i < count; ++i) {
    const auto n = static_cast<int64_t>(text.size()) - 1;
    std::vector<TokenId> visible;
    for (int64_t p = 0; p <= n; ++p) {
      if (p < sinks || p > n - window) visible.push_back(text[p]);
    }
    reply.push_back(next(visible));
    text.push_back(reply.back());
  }
  return reply;
}

}  // namespace sinkstream
