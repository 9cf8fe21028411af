#include "server/stream/stream_environment.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "server/wire/response.h"

namespace sinkstream {

absl::Status LiveStreams::Add(LiveStream* stream) {
  MutexLock lock(mutex_);
  if (!ended_.ok()) return ended_;
  if (static_cast<int64_t>(streams_.size()) >= most_) {
    return Exhausted(Refusal::kMaxStreams,
                     absl::StrCat("max_streams: ", most_, " streams are alive already"),
                     absl::Seconds(1));
  }
  streams_.insert(stream);
  TellCount();
  return absl::OkStatus();
}

void LiveStreams::Remove(LiveStream* stream) {
  MutexLock lock(mutex_);
  streams_.erase(stream);
  TellCount();
}

// Under the lock, since a stream may go as soon as it has been removed.
void LiveStreams::EndAll(const absl::Status& status) {
  MutexLock lock(mutex_);
  ended_ = status;
  for (LiveStream* stream : streams_) stream->EndAfterWriting(status);
}

StreamEnvironment::StreamEnvironment(Engine& engine_served, EngineActivity& activity,
                                     ServiceMetrics& service_metrics, const ServiceOptions& options,
                                     const PortSecurity* security, ErrorSink error_sink)
    : engine(engine_served),
      metrics(service_metrics),
      authenticator(security),
      on_error(std::move(error_sink)),
      rules{engine.Options().limits, engine.Spec().vocab_size},
      limits(ToLimits(engine.Options().limits, engine.Spec(), options.max_message_bytes)),
      open_deadline(options.open_deadline),
      streams(int64_t{engine.Options().limits.max_sessions} + options.streams_beside_sessions,
              activity) {
  metrics.SetStreamsLimit(streams.most());
}

}  // namespace sinkstream
