#include "client/loadgen/load_stream.h"

#include "client/wire_status.h"

namespace sinkstream::loadgen {

LoadStream::LoadStream(v1::ChatService::Stub& stub, StreamHandlers handlers, bool by_hand)
    : handlers_(std::move(handlers)), by_hand_(by_hand) {
  stub.async()->Converse(&context_, this);
  AddHold();  // writes are started from outside of callbacks
  StartRead(&incoming_);
  StartCall();
}

ConnectFunction ConnectTo(v1::ChatService::Stub& stub) {
  return [&stub](StreamHandlers handlers, bool by_hand) {
    return std::make_unique<LoadStream>(stub, std::move(handlers), by_hand);
  };
}

void LoadStream::Drop() { context_.TryCancel(); }

void LoadStream::Read() { StartRead(&incoming_); }

void LoadStream::OnReadDone(bool ok) {
  if (ok) {
    v1::ConverseResponse response = std::move(incoming_);
    incoming_.Clear();
    handlers_.on_response(std::move(response));
    if (!by_hand_) StartRead(&incoming_);
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  RemoveHold();
}

void LoadStream::OnDone(const grpc::Status& status) {
  // Whoever hears of the end may destroy this, the handler with it.
  const auto on_end = handlers_.on_end;
  on_end(ToAbsl(status));
}

}  // namespace sinkstream::loadgen
