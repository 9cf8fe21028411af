#include "server/wire/message_parse.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/errors.h"
#include "sinkstream/v1/chat.pb.h"

namespace sinkstream {
namespace {

constexpr char kNotUtf8[] = "ab\xff";

grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Field `number` with `payload`, as the wire has it: what a careless client may send for a string.
std::string Field(int number, const std::string& payload) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(payload.size())) + payload;
}

absl::Status Parse(const std::string& bytes) {
  return ParseAs<v1::ConverseRequest>(Bytes(bytes)).status();
}

TEST(ParseMessage, ReadsWhatWasWritten) {
  v1::ConverseRequest request;
  request.mutable_turn()->set_text("größer");
  request.mutable_turn()->set_request_id(7);
  const auto parsed = ParseAs<v1::ConverseRequest>(ToByteBuffer(request));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->SerializeAsString(), request.SerializeAsString());
}

TEST(ParseMessage, ReadsAMessageInSeveralSlices) {
  v1::TokenizeRequest request;
  request.set_text(std::string(1000, 'x'));
  const std::string bytes = request.SerializeAsString();
  const grpc::Slice slices[] = {grpc::Slice(bytes.substr(0, 400)), grpc::Slice(bytes.substr(400))};
  const auto parsed = ParseAs<v1::TokenizeRequest>(grpc::ByteBuffer(slices, 2));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->text(), request.text());
}

TEST(ParseMessage, LeavesTheBytesToBeReadAgain) {
  const grpc::ByteBuffer bytes = Bytes(Field(2, Field(2, "hi")));
  EXPECT_TRUE(ParseAs<v1::ConverseRequest>(bytes).ok());
  EXPECT_TRUE(ParseAs<v1::ConverseRequest>(bytes).ok());
}

TEST(ParseMessage, NamesTheStringThatIsNotUtf8) {
  const struct {
    std::string bytes;
    const char* field;
  } cases[] = {
      {Field(2, Field(2, kNotUtf8)), "turn.text"},
      {Field(2, Field(3, kNotUtf8)), "turn.raw_text"},
      {Field(3, Field(2, kNotUtf8)), "append.text"},
      {Field(1, Field(1, kNotUtf8)), "open.session_id"},
      {Field(1, Field(2, kNotUtf8)), "open.system_prompt"},
      {Field(2, Field(5, Field(10, "ok") + Field(10, kNotUtf8))), "turn.sampling.stop_strings[1]"},
  };
  for (const auto& c : cases) {
    const absl::Status status = Parse(c.bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorField(status), c.field);
    EXPECT_EQ(status.message(), std::string(c.field) + ": is not valid UTF-8");
  }
}

TEST(ParseMessage, SaysWhatGarbageShouldHaveBeen) {
  for (const std::string& garbage :
       {std::string("\xff\xff\xff"), std::string("\x12\x7f"), Field(2, "\xff")}) {
    const absl::Status status = Parse(garbage);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ErrorField(status), "message");
    EXPECT_EQ(status.message(), "message: does not parse as sinkstream.v1.ConverseRequest");
  }
}

TEST(FindInteger, ReadsAroundWhatDoesNotParse) {
  const std::string id = "\x08\xac\x02";
  const std::string other = "\x08\x07";
  EXPECT_EQ(FindInteger(Bytes(Field(2, id + Field(2, kNotUtf8))), {2, 1}), 300u);
  EXPECT_EQ(FindInteger(Bytes(Field(2, Field(2, kNotUtf8) + id)), {2, 1}), 300u);
  EXPECT_EQ(FindInteger(Bytes(Field(2, other) + Field(2, id)), {2, 1}), 300u) << "the last counts";
}

TEST(FindInteger, IsAbsentWhereThereIsNone) {
  EXPECT_EQ(FindInteger(Bytes(""), {2, 1}), std::nullopt);
  EXPECT_EQ(FindInteger(Bytes(Field(2, Field(2, kNotUtf8))), {2, 1}), std::nullopt);
  EXPECT_EQ(FindInteger(Bytes(Field(2, Field(1, "text"))), {2, 1}), std::nullopt);
  EXPECT_EQ(FindInteger(Bytes("\x10\x07"), {2, 1}), std::nullopt) << "no message";
  EXPECT_EQ(FindInteger(Bytes("\xff\xff"), {2, 1}), std::nullopt);
}

TEST(ParseMessage, AnEmptyMessageIsAMessage) {
  EXPECT_TRUE(ParseAs<v1::GetModelRequest>(Bytes("")).ok());
}

}  // namespace
}  // namespace sinkstream
