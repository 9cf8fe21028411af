#include "server/score_service.h"

#include "server/stream/score_stream.h"

namespace sinkstream {

grpc::ServerWriteReactor<grpc::ByteBuffer>* ScoreServiceImpl::Score(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return new ScoreStream(*context, *request, environment_);  // deletes itself in OnDone
}

}  // namespace sinkstream
