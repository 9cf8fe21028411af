// Parses raw messages, so that one that does not parse gets INVALID_ARGUMENT with the name of its
// field: gRPC's own deserialization would end a stream without a word, as if the client had
// half-closed.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sinkstream {

// INVALID_ARGUMENT naming the string field that is not UTF-8, or saying that the bytes are no such
// message.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);

// The integer field at `path` (numbers of fields, the outermost first) of bytes that need not parse
// as their message. Absent: there is none, or it cannot be read.
std::optional<uint64_t> FindInteger(const grpc::ByteBuffer& bytes, std::initializer_list<int> path);

template <typename Message>
absl::StatusOr<Message> ParseAs(const grpc::ByteBuffer& bytes) {
  Message message;
  if (absl::Status status = ParseMessage(bytes, message); !status.ok()) return status;
  return message;
}

// The bytes of `message`.
grpc::ByteBuffer ToByteBuffer(const google::protobuf::Message& message);

}  // namespace sinkstream
