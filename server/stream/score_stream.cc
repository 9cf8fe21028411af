#include "server/stream/score_stream.h"

#include <utility>
#include <variant>

#include "server/telemetry/trace_metadata.h"
#include "server/wire/message_parse.h"
#include "server/wire/request.h"
#include "server/wire/response.h"

namespace sinkstream {

ScoreStream::ScoreStream(const grpc::ServerContextBase& context, const grpc::ByteBuffer& request,
                         StreamEnvironment& environment)
    : EventStream(environment) {
  if (!Join(context)) return;
  Guarded([&] {
    const auto message = ParseAs<v1::ScoreRequest>(request);
    const absl::Status started = message.ok() ? Start(context, *message) : message.status();
    if (started.ok()) return;
    environment_.metrics.MessageRefused(started, message.ok());
    Perform(state_.End(started));
  });
}

absl::Status ScoreStream::Start(const grpc::ServerContextBase& context,
                                const v1::ScoreRequest& request) {
  Engine& engine = environment_.engine;
  auto call = ToScoreCall(request, environment_.rules, engine);
  if (!call.ok()) return call.status();
  call->open.principal = principal_;
  call->open.trace = TraceOf(context);
  const auto attachment = engine.Open(std::move(call->open), outbox_);
  if (!attachment.ok()) return attachment.status();
  if (!state_.Attach(*attachment)) {
    engine.Detach(*attachment);
    return absl::OkStatus();
  }
  absl::Status accepted = engine.Append(*attachment, std::move(call->append));
  if (accepted.ok()) engine.HalfClose(*attachment);
  return accepted;
}

ScoreStream::Outcome ScoreStream::Message(const Event& event) {
  if (const auto* const scores = std::get_if<Scores>(&event)) {
    return {.message = ToByteBuffer(ToScoreResponse(*scores, environment_.engine.GetTokenizer()))};
  }
  if (const auto* const done = std::get_if<AppendDone>(&event)) {
    return {.message = ToByteBuffer(ToScoreResponse(*done))};
  }
  if (const auto* const failed = std::get_if<RequestFailed>(&event)) {
    return {.end = failed->status};
  }
  return {};
}

}  // namespace sinkstream
