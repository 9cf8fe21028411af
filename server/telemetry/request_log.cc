#include "server/telemetry/request_log.h"

#include <nlohmann/json.hpp>
#include <string>

#include "server/metrics/reason_names.h"

namespace sinkstream {
namespace {

using nlohmann::ordered_json;

constexpr size_t kIdDigits = 8;
constexpr size_t kMostMessageBytes = 1000;

std::string ShortId(const SessionId& id) { return id.substr(0, kIdDigits); }

bool IsServersFault(const absl::Status& status) {
  return absl::IsInternal(status) || absl::IsUnknown(status) || absl::IsDataLoss(status);
}

std::string Message(const absl::Status& status) {
  return std::string(status.message().substr(0, kMostMessageBytes));
}

void AddCounts(const RequestEnd& end, ordered_json& fields) {
  fields["prompt_tokens"] = end.usage.prompt_tokens;
  if (end.replies) fields["generated_tokens"] = end.usage.generated_tokens;
  fields["cached_tokens"] = end.usage.cached_tokens;
  fields["evicted_tokens"] = end.usage.evicted_tokens;
  fields["queue_seconds"] = absl::ToDoubleSeconds(end.timings.queue);
  fields["prefill_seconds"] = absl::ToDoubleSeconds(end.timings.prefill);
  if (end.replies) fields["first_token_seconds"] = absl::ToDoubleSeconds(end.timings.first_token);
  fields["total_seconds"] = absl::ToDoubleSeconds(end.timings.total);
}

void AddTrace(const std::optional<TraceContext>& trace, ordered_json& fields) {
  if (!trace) return;
  fields["trace_id"] = trace->trace_id;
  fields["parent_span_id"] = trace->span_id;
  fields["trace_sampled"] = trace->sampled;
}

}  // namespace

void RequestLog::InternalError(const absl::Status& status) {
  if (!IsServersFault(status)) return;
  log_.Write(LogLevel::kError, "internal_error",
             {{"code", absl::StatusCodeToString(status.code())}, {"message", Message(status)}});
}

void RequestLog::OnRequestEnd(const RequestEnd& end) {
  const bool fault = IsServersFault(end.status);
  const LogLevel level = fault ? LogLevel::kError : LogLevel::kInfo;
  if (!log_.Writes(level)) return;
  ordered_json fields = {{"session", ShortId(end.session_id)}};
  if (!end.principal.empty()) fields["principal"] = end.principal;
  fields["request_id"] = end.request_id;
  if (end.reason) fields["finish_reason"] = Name(*end.reason);
  fields["code"] = absl::StatusCodeToString(end.status.code());
  if (fault) fields["message"] = Message(end.status);
  AddCounts(end, fields);
  AddTrace(end.trace, fields);
  log_.Write(level, end.replies ? "turn" : "append", fields);
}

void RequestLog::OnSessionStart(const SessionStart& start) {
  if (!log_.Writes(LogLevel::kDebug)) return;
  log_.Write(LogLevel::kDebug, start.resumed ? "session_resumed" : "session_opened",
             {{"session", ShortId(start.id)}, {"shared_tokens", start.shared_tokens}});
}

void RequestLog::OnSessionEnd(const SessionEnd& end) {
  if (!log_.Writes(LogLevel::kDebug)) return;
  log_.Write(LogLevel::kDebug, "session_closed",
             {{"session", ShortId(end.id)},
              {"reason", Name(end.reason)},
              {"tokens", end.tokens},
              {"lifetime_seconds", absl::ToDoubleSeconds(end.lifetime)}});
}

void RequestLog::OnParkEnd(const ParkEnd& end) {
  const LogLevel level = end.status.ok() ? LogLevel::kDebug : LogLevel::kError;
  if (!log_.Writes(level)) return;
  ordered_json fields = {{"bytes", end.bytes},
                         {"seconds", absl::ToDoubleSeconds(end.time)},
                         {"code", absl::StatusCodeToString(end.status.code())}};
  if (!end.status.ok()) fields["message"] = Message(end.status);
  log_.Write(level, end.operation == ParkOperation::kSave ? "session_saved" : "session_loaded",
             fields);
}

void RequestLog::OnDraining() { log_.Write(LogLevel::kInfo, "draining", ordered_json::object()); }

}  // namespace sinkstream
