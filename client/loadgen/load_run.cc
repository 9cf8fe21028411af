#include "client/loadgen/load_run.h"

#include <algorithm>
#include <utility>

namespace sinkstream::loadgen {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

}  // namespace

LoadRun::LoadRun(Clock& clock, ConnectFunction connect, const Traffic& traffic,
                 Measurement& measurement, const Patience& patience)
    : clock_(clock),
      connect_(std::move(connect)),
      traffic_(traffic),
      measurement_(measurement),
      patience_(patience),
      loop_(clock),
      arrivals_(traffic_.workload) {}

LoadRun::~LoadRun() = default;

absl::Status LoadRun::Run(const ProgressFunction& on_progress) {
  on_progress_ = on_progress;
  Start();
  ShowProgress();
  loop_.Run();
  measurement_.CloseAt(clock_.Now());
  return status_;
}

void LoadRun::Interrupt() {
  loop_.Post([this] { Halt(absl::CancelledError("interrupted")); });
}

void LoadRun::Start() {
  const Workload& workload = traffic_.workload;
  start_ = clock_.Now();
  if (Timed()) {
    const absl::Time begin = start_ + workload.warmup;
    measurement_.Open(begin, begin + workload.duration);
    loop_.At(measurement_.end(), [this] { WindDown(); });
  }
  if (workload.OpenLoop()) return PlanSession(start_ + arrivals_.Next());
  for (int64_t i = 0; i < workload.sessions; ++i) PlanSession(start_ + StartInRamp(workload, i));
}

void LoadRun::PlanSession(absl::Time due) {
  if (due >= measurement_.end()) return;
  ++waiting_to_begin_;
  loop_.At(due, [this, due] {
    --waiting_to_begin_;
    // One arrival plans the next: the whole schedule may be long.
    if (traffic_.workload.OpenLoop()) PlanSession(start_ + arrivals_.Next());
    if (!halted_) BeginSession(due);
  });
}

void LoadRun::BeginSession(absl::Time due) {
  measurement_.Late(clock_.Now() - due);
  const int64_t id = sessions_begun_++;
  User& user = users_[id];
  user.conversation = std::make_unique<Conversation>(traffic_, measurement_, id, /*gate=*/!Timed());
  Apply(id, user.conversation->Begin(due));
}

void LoadRun::Apply(int64_t id, Steps steps) {
  User& user = users_.at(id);
  for (Step& step : steps) {
    std::visit(Overloaded{[&](loadgen::Connect&) { Connect(id, user); },
                          [&](Send& send) { user.stream->Send(std::move(send.request)); },
                          [&](HalfClose&) {
                            user.stream->HalfClose();
                            DropLater(id, halted_ ? patience_.halt : patience_.close);
                          },
                          [&](loadgen::Drop&) { Drop(user); },
                          [&](const Wake& wake) {
                            loop_.At(wake.at, [this, id, at = wake.at] {
                              User* const woken = Find(id);
                              if (woken == nullptr) return;
                              const absl::Time now = clock_.Now();
                              measurement_.Late(now - at);
                              Apply(id, woken->conversation->OnWake(now));
                            });
                          }},
               step);
  }
  if (user.conversation->state() == Conversation::State::kAtGate) OpenGate();
  if (user.conversation->Over() && !Timed() && !MoreToCome()) measurement_.CloseAt(clock_.Now());
}

void LoadRun::Connect(int64_t id, User& user) {
  StreamHandlers handlers;
  handlers.on_response = [this, id](v1::ConverseResponse response) {
    loop_.Post([this, id, response = std::move(response), now = clock_.Now()] {
      OnResponse(id, response, now);
    });
  };
  handlers.on_end = [this, id](absl::Status status) {
    loop_.Post([this, id, status = std::move(status)] { OnStreamEnd(id, status); });
  };
  user.stream = connect_(std::move(handlers), user.conversation->reads_slowly());
}

void LoadRun::OnResponse(int64_t id, const v1::ConverseResponse& response, absl::Time now) {
  User* const user = Find(id);
  measurement_.Late(clock_.Now() - now);
  Apply(id, user->conversation->OnResponse(response, now));
  if (!user->conversation->reads_slowly()) return;
  // Only a reply is read slowly: how a dropped stream ends is the server's time, not the reader's.
  const bool waits =
      response.has_delta() && user->conversation->state() == Conversation::State::kReplying;
  const absl::Time at = waits ? now + traffic_.workload.read_delay : now;
  user->read_at = at;
  loop_.At(at, [this, id, at] {
    User* const reader = Find(id);
    if (reader != nullptr && reader->read_at == at) Read(*reader);
  });
}

void LoadRun::OnStreamEnd(int64_t id, const absl::Status& status) {
  User& user = *Find(id);
  const Steps steps = user.conversation->OnStreamEnd(status);
  user.stream.reset();
  user.read_at.reset();
  if (!steps.empty()) return Apply(id, steps);
  const std::unique_ptr<Conversation> ended = std::move(user.conversation);
  users_.erase(id);
  // Not if one request of it was answered so.
  if (absl::IsUnavailable(status) && ended->error() == status) Halt(status);
  Replace(*ended);
  OpenGate();
  StopWhenDone();
}

// Another session of a closed loop, for as long as it lasts.
void LoadRun::Replace(const Conversation& ended) {
  if (traffic_.workload.OpenLoop() || !Timed() || winding_down_ || halted_) return;
  PlanSession(clock_.Now() + ended.pause());
}

// Once all sessions wait before it: what follows is measured.
void LoadRun::OpenGate() {
  if (Timed() || gate_open_ || halted_ || waiting_to_begin_ > 0 || users_.empty()) return;
  const bool all_there = std::all_of(users_.begin(), users_.end(), [](const auto& entry) {
    return entry.second.conversation->state() == Conversation::State::kAtGate ||
           entry.second.conversation->Over();
  });
  if (!all_there) return;
  gate_open_ = true;
  const absl::Time now = clock_.Now();
  measurement_.Open(now);
  for (const auto& [id, user] : users_) Apply(id, user.conversation->PassGate(now));
}

void LoadRun::WindDown() {
  winding_down_ = true;
  for (const auto& [id, user] : users_) Apply(id, user.conversation->WindDown());
  loop_.At(clock_.Now() + patience_.turns, [this] { GiveUp(/*unfinished=*/true); });
  StopWhenDone();
}

void LoadRun::GiveUp(bool unfinished) {
  for (const auto& [id, user] : users_) Apply(id, user.conversation->GiveUp(unfinished));
}

void LoadRun::Halt(const absl::Status& why) {
  if (halted_) return;
  halted_ = true;
  status_ = why;
  measurement_.CloseAt(clock_.Now());
  GiveUp(/*unfinished=*/false);
  for (const auto& [id, user] : users_) DropLater(id, patience_.halt);
  StopWhenDone();
}

void LoadRun::DropLater(int64_t id, absl::Duration patience) {
  loop_.At(clock_.Now() + patience, [this, id] {
    if (User* const user = Find(id)) Drop(*user);
  });
}

void LoadRun::Read(User& user) {
  user.read_at.reset();
  user.stream->Read();
}

// Its end is read at once, even by one who reads slowly.
void LoadRun::Drop(User& user) {
  user.stream->Drop();
  if (user.read_at) Read(user);
}

void LoadRun::StopWhenDone() {
  // Rates are of the whole window, even if its end is silent.
  if (Timed() && !winding_down_ && !halted_) return;
  if (users_.empty() && !MoreToCome()) loop_.Stop();
}

bool LoadRun::MoreToCome() const {
  return live_sessions() > 0 || (waiting_to_begin_ > 0 && !halted_);
}

void LoadRun::ShowProgress() {
  on_progress_(*this);
  loop_.At(clock_.Now() + kProgressInterval, [this] { ShowProgress(); });
}

double LoadRun::Done(absl::Time now) const {
  if (Timed()) {
    return std::clamp(absl::FDivDuration(now - start_, measurement_.end() - start_), 0.0, 1.0);
  }
  const Workload& workload = traffic_.workload;
  int64_t to_come = waiting_to_begin_ * workload.turns;
  for (const auto& [id, user] : users_) to_come += user.conversation->turns_to_come();
  return 1 - static_cast<double>(to_come) / static_cast<double>(workload.sessions * workload.turns);
}

int64_t LoadRun::live_sessions() const {
  return std::count_if(users_.begin(), users_.end(),
                       [](const auto& entry) { return !entry.second.conversation->Over(); });
}

LoadRun::User* LoadRun::Find(int64_t id) {
  const auto found = users_.find(id);
  return found == users_.end() ? nullptr : &found->second;
}

}  // namespace sinkstream::loadgen
