// ScoreStream: one Score call: an EventStream whose session is its own and reads one scored append.
#pragma once

#include <grpcpp/grpcpp.h>

#include "absl/status/status.h"
#include "server/stream/event_stream.h"
#include "sinkstream/v1/score.pb.h"

namespace sinkstream {

class ScoreStream final : public EventStream<grpc::ServerWriteReactor<grpc::ByteBuffer>> {
 public:
  // `request`: a v1::ScoreRequest, which need not parse.
  ScoreStream(const grpc::ServerContextBase& context, const grpc::ByteBuffer& request,
              StreamEnvironment& environment);

 private:
  // Scores and the end; a failure ends the call.
  Outcome Message(const Event& event) override;

  absl::Status Start(const grpc::ServerContextBase& context, const v1::ScoreRequest& request);
};

}  // namespace sinkstream
