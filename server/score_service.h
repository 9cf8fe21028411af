// ScoreServiceImpl: the rpc of sinkstream.v1.ScoreService. Its requests arrive raw
// (server/wire/message_parse.h).
#pragma once

#include <grpcpp/grpcpp.h>

#include "server/stream/stream_environment.h"
#include "sinkstream/v1/score.grpc.pb.h"

namespace sinkstream {

class ScoreServiceImpl final
    : public v1::ScoreService::WithRawCallbackMethod_Score<v1::ScoreService::Service> {
 public:
  // `environment` outlives this, and this the server it is registered with.
  explicit ScoreServiceImpl(StreamEnvironment& environment) : environment_(environment) {}

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Score(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer* request) override;

 private:
  StreamEnvironment& environment_;
};

}  // namespace sinkstream
