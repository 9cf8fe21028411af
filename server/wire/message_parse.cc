#include "server/wire/message_parse.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/errors.h"
#include "engine/text/utf8.h"

namespace sinkstream {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

std::string AllBytes(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string all;
  if (!bytes.Dump(&slices).ok()) return all;
  for (const grpc::Slice& slice : slices) {
    all.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return all;
}

// Path of the first string field in `bytes`, a message of `type`, that is not UTF-8.
std::optional<std::string> FindBadString(const std::string& bytes, const Descriptor& type) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return std::nullopt;
  std::map<int, int> seen;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& value = fields.field(i);
    const FieldDescriptor* field = type.FindFieldByNumber(value.number());
    if (field == nullptr || value.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const int index = seen[value.number()]++;
    const std::string name =
        field->is_repeated() ? absl::StrCat(field->name(), "[", index, "]") : field->name();
    if (field->type() == FieldDescriptor::TYPE_STRING && !IsValidUtf8(value.length_delimited())) {
      return name;
    }
    if (field->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    const auto inner = FindBadString(value.length_delimited(), *field->message_type());
    if (inner.has_value()) return absl::StrCat(name, ".", *inner);
  }
  return std::nullopt;
}

// Of several fields of a number the last counts, as in a message that parses.
std::optional<uint64_t> FindInteger(const std::string& bytes, const int* number, const int* end) {
  UnknownFieldSet fields;
  std::optional<uint64_t> found;
  if (!fields.ParseFromString(bytes)) return found;
  const bool innermost = number + 1 == end;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& value = fields.field(i);
    if (value.number() != *number) continue;
    if (innermost && value.type() == UnknownField::TYPE_VARINT) found = value.varint();
    if (innermost || value.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const auto inner = FindInteger(value.length_delimited(), number + 1, end);
    if (inner.has_value()) found = inner;
  }
  return found;
}

}  // namespace

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::ByteBuffer copy = bytes;  // of the references; reading consumes them
  grpc::ProtoBufferReader reader(&copy);
  if (reader.status().ok() && message.ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  const Descriptor& type = *message.GetDescriptor();
  if (const auto field = FindBadString(AllBytes(bytes), type)) {
    return InvalidField(*field, "is not valid UTF-8");
  }
  return InvalidField("message", absl::StrCat("does not parse as ", type.full_name()));
}

std::optional<uint64_t> FindInteger(const grpc::ByteBuffer& bytes,
                                    std::initializer_list<int> path) {
  return FindInteger(AllBytes(bytes), path.begin(), path.end());
}

grpc::ByteBuffer ToByteBuffer(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace sinkstream
