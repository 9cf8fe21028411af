#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/commands.h"
#include "engine/errors.h"
#include "engine/inbox.h"
#include "engine/kv/disk_park.h"
#include "engine/kv/kv_window.h"
#include "engine/sampling/distribution_budget.h"
#include "engine/sampling/sampling_rules.h"
#include "engine/scheduler.h"
#include "engine/session/session_rules.h"
#include "engine/text/stable_boundaries.h"

namespace sinkstream {
namespace {

uint64_t SystemRandom() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

absl::Status ValidateLimits(const EngineLimits& limits) {
  const auto at_least = [](const char* field, int64_t value, int64_t least) {
    if (value >= least) return absl::OkStatus();
    return InvalidField(field, absl::StrCat("is ", value, "; must be at least ", least));
  };
  for (const auto& status :
       {at_least("max_sessions", limits.max_sessions, 1),
        at_least("max_principal_sessions", limits.max_principal_sessions, 0),
        at_least("inbox.commands", static_cast<int64_t>(limits.inbox.commands), 1),
        at_least("inbox.owner_commands", static_cast<int64_t>(limits.inbox.owner_commands), 1),
        at_least("outbox_capacity", static_cast<int64_t>(limits.outbox_capacity), 1),
        at_least("max_queued_requests", limits.max_queued_requests, 1),
        at_least("max_request_bytes", limits.max_request_bytes, 1),
        at_least("max_request_tokens", limits.max_request_tokens, 1),
        at_least("max_tokens", limits.max_tokens, 1),
        at_least("step_tokens", limits.step_tokens, 8),
        at_least("prefill_chunk", limits.prefill_chunk, 1),
        at_least("max_prefills_per_step", limits.max_prefills_per_step, 1),
        at_least("speculative_tokens", limits.speculative_tokens, 0),
        at_least("score_rows", limits.score_rows, 1)}) {
    if (!status.ok()) return status;
  }
  if (limits.speculative_tokens > kMaxSpeculativeTokens) {
    return InvalidField("speculative_tokens",
                        absl::StrCat("is ", limits.speculative_tokens, "; must be at most ",
                                     kMaxSpeculativeTokens));
  }
  return absl::OkStatus();
}

absl::Status ValidateDefaults(const EngineOptions& options, const ModelSpec& spec) {
  const auto& defaults = options.defaults;
  const auto settings = ValidateSession(defaults, spec, options.limits, "");
  if (!settings.ok()) return settings;
  const int64_t needed = MaxSessionBlocks(defaults.sinks, defaults.window, spec.block_tokens) +
                         StepSlackBlocks(options.limits, spec);
  if (needed > spec.num_blocks) {
    return InvalidField(
        "kv_bytes",
        absl::StrCat("is ", spec.num_blocks * spec.block_bytes,
                     "; one session of the default size, and what a step takes beside it, need ",
                     needed * spec.block_bytes));
  }
  const int64_t row_bytes = DistributionBytes(spec);
  if (options.limits.distribution_bytes < row_bytes) {
    return InvalidField("distribution_bytes",
                        absl::StrCat("is ", options.limits.distribution_bytes,
                                     "; one distribution of this model takes ", row_bytes));
  }
  return absl::OkStatus();
}

// A reply that nobody bounds is as long as the limit, where that is below the default.
EngineOptions BoundDefaults(EngineOptions options) {
  int32_t& max_tokens = options.defaults.sampling.max_tokens;
  max_tokens = std::min(max_tokens, options.limits.max_tokens);
  return options;
}

}  // namespace

class Engine::Impl {
 public:
  Impl(const EngineOptions& options, std::unique_ptr<Model> model,
       std::unique_ptr<Tokenizer> tokenizer, ChatFormat format, EngineObserver& observer,
       const Clock& clock)
      : options_(options),
        model_(std::move(model)),
        tokenizer_(std::move(tokenizer)),
        format_(std::move(format)),
        inbox_(std::make_shared<Inbox<Command>>(options.limits.inbox)),
        clock_(clock),
        observer_(observer) {}

  // INVALID_ARGUMENT if the park's directory takes no files, RESOURCE_EXHAUSTED if the system
  // refuses a thread.
  absl::Status Start() {
    if (options_.park.bytes > 0) {
      auto park = DiskPark::Create({options_.park.directory, options_.park.bytes}, *model_,
                                   [inbox = inbox_](BlockPark::Outcome outcome) {
                                     inbox->Push(ParkCommand{std::move(outcome)});
                                   });
      if (!park.ok()) return park.status();
      park_ = *std::move(park);
    }
    scheduler_ = std::make_unique<Scheduler>(
        options_, Scheduler::Parts{*model_, *tokenizer_, format_, observer_, clock_, SystemRandom,
                                   park_.get(), [inbox = inbox_] { inbox->Poke(); }});
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the system refuses the engine's thread: ", error.what()));
    }
    return absl::OkStatus();
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    inbox_->Poke();
    thread_.join();
  }

  // As OpenCommand::system_turn. An empty prompt is none where the format has no system turn.
  absl::StatusOr<std::optional<std::vector<TokenId>>> SystemTurn(
      const std::optional<std::string>& prompt) const {
    if (!prompt) return std::nullopt;
    if (!format_.system) {
      if (prompt->empty()) return std::nullopt;
      return InvalidField("open.system_prompt",
                          absl::StrCat("the model's chat format, ", format_.name,
                                       ", has no system turn; say it in the first user turn"));
    }
    auto tokens = format_.EncodeBegin(*tokenizer_, prompt);
    const auto fits =
        ValidateTokenCount(tokens.size(), options_.limits.max_request_tokens, "open.system_prompt");
    if (!fits.ok()) return fits;
    return tokens;
  }

  absl::Status Send(AttachmentId attachment, Command command) {
    const size_t bytes = HeldBytes(command);
    if (inbox_->TryPush(attachment, bytes, std::move(command))) return absl::OkStatus();
    return Exhausted(Refusal::kQueueFull,
                     "inbox: too many calls, of this stream or of all, wait for the engine already",
                     absl::Seconds(1));
  }

  const EngineOptions options_;
  const std::unique_ptr<Model> model_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const ChatFormat format_;
  std::atomic<AttachmentId> next_attachment_{1};
  // Shared with every outbox, whose reader may call on_room after the engine has gone.
  const std::shared_ptr<Inbox<Command>> inbox_;
  const Clock& clock_;

 private:
  void Run() {
    while (!stopping_) {
      auto commands = inbox_->TakeAll(patience_);
      observer_.OnRoundBegun();
      for (auto& command : commands) scheduler_->Handle(std::move(command));
      scheduler_->CloseExpired();
      patience_ = scheduler_->RunStep() ? absl::ZeroDuration() : scheduler_->Patience();
      scheduler_->ReportPool();
      observer_.OnRoundEnded();
    }
    for (auto& command : inbox_->TakeAll(absl::ZeroDuration())) {
      scheduler_->Handle(std::move(command));
    }
    scheduler_->Shutdown(ShuttingDown());
    scheduler_->ReportPool();
  }

  EngineObserver& observer_;
  std::unique_ptr<DiskPark> park_;                  // engine thread; null: nothing is parked
  std::unique_ptr<Scheduler> scheduler_;            // engine thread
  absl::Duration patience_ = absl::ZeroDuration();  // engine thread
  std::atomic<bool> stopping_{false};
  std::thread thread_;  // last: it uses everything above
};

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(
    const EngineOptions& asked, std::unique_ptr<Model> model, std::unique_ptr<Tokenizer> tokenizer,
    ChatFormat chat_format, EngineObserver& observer, const Clock& clock) {
  if (auto status = ValidateLimits(asked.limits); !status.ok()) return status;
  const EngineOptions options = BoundDefaults(asked);
  if (auto status = ValidateDefaults(options, model->Spec()); !status.ok()) return status;
  if (tokenizer->VocabSize() > model->Spec().vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer knows ids up to ", tokenizer->VocabSize() - 1,
                     ", the model's vocabulary is ", model->Spec().vocab_size));
  }
  auto impl = std::make_unique<Impl>(options, std::move(model), std::move(tokenizer),
                                     std::move(chat_format), observer, clock);
  if (auto status = impl->Start(); !status.ok()) return status;
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() = default;

absl::StatusOr<AttachmentId> Engine::Open(OpenRequest request, std::shared_ptr<Outbox> outbox) {
  if (auto status = ValidateStops(request.sampling, "open.sampling."); !status.ok()) return status;
  auto system_turn = impl_->SystemTurn(request.system_prompt);
  if (!system_turn.ok()) return system_turn.status();
  OpenCommand command;
  command.attachment = impl_->next_attachment_++;
  command.system_turn = *std::move(system_turn);
  command.request = std::move(request);
  command.request.system_prompt.reset();
  outbox->SetOnRoom([inbox = impl_->inbox_] { inbox->Poke(); });
  command.outbox = std::move(outbox);
  const AttachmentId attachment = command.attachment;
  if (auto status = impl_->Send(attachment, std::move(command)); !status.ok()) return status;
  return attachment;
}

absl::Status Engine::Turn(AttachmentId attachment, TurnRequest request) {
  if (auto status = ValidateStops(request.sampling, "turn.sampling."); !status.ok()) return status;
  RequestCommand command{attachment, request.request_id, true, {}, std::move(request.sampling)};
  command.arrived = impl_->clock_.Now();
  if (auto* const tokens = std::get_if<std::vector<TokenId>>(&request.input)) {
    command.input.tokens = std::move(*tokens);
  } else if (request.raw) {
    command.input.text =
        SplitAtStableBoundaries(*impl_->tokenizer_, std::get<std::string>(request.input));
  } else {
    command.input.user_turn =
        impl_->format_.EncodeUserTurn(*impl_->tokenizer_, std::get<std::string>(request.input));
  }
  return impl_->Send(attachment, std::move(command));
}

absl::Status Engine::Append(AttachmentId attachment, AppendRequest request) {
  RequestCommand command{attachment, request.request_id, false, {}, {}, request.scoring};
  command.arrived = impl_->clock_.Now();
  if (auto* const tokens = std::get_if<std::vector<TokenId>>(&request.input)) {
    command.input.tokens = std::move(*tokens);
  } else {
    command.input.text =
        SplitAtStableBoundaries(*impl_->tokenizer_, std::get<std::string>(request.input));
  }
  return impl_->Send(attachment, std::move(command));
}

void Engine::Cancel(AttachmentId attachment) {
  impl_->inbox_->PushOnce(attachment, CancelCommand{attachment});
}

void Engine::Close(AttachmentId attachment) {
  impl_->inbox_->PushOnce(attachment, CloseCommand{attachment});
}

void Engine::HalfClose(AttachmentId attachment) {
  impl_->inbox_->PushOnce(attachment, HalfCloseCommand{attachment});
}

void Engine::Detach(AttachmentId attachment) {
  impl_->inbox_->PushOnce(attachment, DetachCommand{attachment});
}

void Engine::StartDraining(absl::Duration time_left) {
  impl_->inbox_->Push(DrainCommand{time_left});
}

const ModelSpec& Engine::Spec() const { return impl_->model_->Spec(); }
const EngineOptions& Engine::Options() const { return impl_->options_; }
const Tokenizer& Engine::GetTokenizer() const { return *impl_->tokenizer_; }
const ChatFormat& Engine::GetChatFormat() const { return impl_->format_; }

int64_t Engine::SessionsKvBytes() const {
  const auto& spec = Spec();
  return (spec.num_blocks - StepSlackBlocks(Options().limits, spec)) * spec.block_bytes;
}

int64_t Engine::SessionKvBytes(const SessionSettings& settings) const {
  const auto& spec = Spec();
  return MaxSessionBlocks(settings.sinks, settings.window, spec.block_tokens) * spec.block_bytes;
}

}  // namespace sinkstream
