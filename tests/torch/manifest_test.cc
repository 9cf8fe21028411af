#include "engine/torch/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace sinkstream {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

Json Sound() {
  return {{"magic", "sinkstream-model"},
          {"format_version", 1},
          {"name", "tiny"},
          {"architecture", "llama"},
          {"dtype", "bfloat16"},
          {"vocab_size", 50},
          {"layers", 3},
          {"hidden", 16},
          {"intermediate", 32},
          {"heads", 4},
          {"kv_heads", 2},
          {"head_dim", 8},
          {"trained_context", 64},
          {"bos_token", nullptr},
          {"eos_token", 49},
          {"license", "apache-2.0"},
          {"digest", "ab"},
          {"of_the_future", {1, 2}}};
}

std::string Problem(const Json& json) {
  const auto manifest = ParseManifest(json.dump());
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(manifest.status().message());
}

std::string ProblemWith(const char* field, const Json& value) {
  Json json = Sound();
  json[field] = value;
  return Problem(json);
}

TEST(Manifest, GivesItsFieldsAndIgnoresUnknownOnes) {
  const auto manifest = ParseManifest(Sound().dump());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->name, "tiny");
  EXPECT_EQ(manifest->dtype, "bfloat16");
  EXPECT_EQ(manifest->vocab_size, 50);
  EXPECT_EQ(manifest->layers, 3);
  EXPECT_EQ(manifest->heads, 4);
  EXPECT_EQ(manifest->kv_heads, 2);
  EXPECT_EQ(manifest->head_dim, 8);
  EXPECT_EQ(manifest->trained_context, 64);
  EXPECT_EQ(manifest->bos_token, std::nullopt);
  EXPECT_EQ(manifest->eos_token, 49);
  EXPECT_EQ(manifest->digest, "ab");
}

TEST(Manifest, OfAnOlderExporterHasACacheOfFloat32OrBfloat16) {
  Json json = Sound();
  for (const auto& [dtype, kv_dtype] : std::map<std::string, std::string>{
           {"float32", "float32"}, {"bfloat16", "bfloat16"}, {"int8", "bfloat16"}}) {
    json["dtype"] = dtype;
    EXPECT_EQ(ParseManifest(json.dump())->kv_dtype, kv_dtype);
  }
  json["kv_dtype"] = "int8";
  EXPECT_EQ(ParseManifest(json.dump())->kv_dtype, "int8");
}

TEST(Manifest, RefusesACacheThatItDoesNotKnow) {
  EXPECT_THAT(ProblemWith("kv_dtype", "int4"), HasSubstr("kv_dtype \"int4\" is not supported"));
  EXPECT_THAT(ProblemWith("kv_dtype", 8), HasSubstr("kv_dtype must be a string"));
}

TEST(Manifest, SaysThatANewerExporterMadeIt) {
  EXPECT_EQ(ProblemWith("format_version", 2),
            "manifest.json: made by a newer exporter: format 2, this server reads 1");
}

TEST(Manifest, RefusesWhatIsNotOurs) {
  EXPECT_EQ(ParseManifest("{\"magic\": ").status().message(), "manifest.json: is not valid JSON");
  EXPECT_THAT(Problem(Json::array({1})), HasSubstr("is not a JSON object"));
  EXPECT_THAT(Problem(Json::object()), HasSubstr("magic"));
  EXPECT_THAT(ProblemWith("magic", "other"), HasSubstr("magic"));
  EXPECT_THAT(ProblemWith("magic", 7), HasSubstr("magic"));
}

TEST(Manifest, RefusesSizesOutOfRange) {
  EXPECT_THAT(ProblemWith("layers", 0), HasSubstr("layers must be a whole number from 1"));
  EXPECT_THAT(ProblemWith("layers", 2.5), HasSubstr("layers"));
  EXPECT_THAT(ProblemWith("vocab_size", uint64_t{1} << 63), HasSubstr("vocab_size"));
  EXPECT_THAT(ProblemWith("head_dim", 513), HasSubstr("head_dim"));
  EXPECT_THAT(ProblemWith("trained_context", -1), HasSubstr("trained_context"));
  EXPECT_THAT(ProblemWith("format_version", "1"), HasSubstr("format_version"));
  EXPECT_THAT(ProblemWith("eos_token", 50),
              HasSubstr("eos_token must be a whole number from 0 to 49"));
  EXPECT_THAT(ProblemWith("name", 5), HasSubstr("name must be a string"));
}

TEST(Manifest, RefusesWhatTheKernelsDoNotKnow) {
  EXPECT_THAT(
      ProblemWith("dtype", "float16"),
      HasSubstr("dtype \"float16\" is not supported (supported: float32, bfloat16, int8, int4)"));
  EXPECT_THAT(ProblemWith("kv_heads", 3), HasSubstr("heads 4 is not a multiple of kv_heads 3"));
}

TEST(Manifest, RefusesSizesWhoseProductNoPoolHolds) {
  Json json = Sound();
  json["layers"] = json["heads"] = json["kv_heads"] = 1 << 24;
  json["head_dim"] = 512;
  EXPECT_EQ(
      Problem(json),
      "manifest.json: layers x kv_heads x head_dim is 144115188075855872, more than 16777216");
  json["layers"] = json["head_dim"] = 128;
  json["heads"] = json["kv_heads"] = 1024;
  EXPECT_TRUE(ParseManifest(json.dump()).ok());
}

TEST(Manifest, NamesAMissingField) {
  for (const char* field : {"format_version", "name", "vocab_size", "heads", "digest"}) {
    Json json = Sound();
    json.erase(field);
    EXPECT_THAT(Problem(json), HasSubstr(field));
  }
}

TEST(Manifest, RefusesWhatIsNestedTooDeeply) {
  constexpr size_t kDepth = 1'000'000;
  std::string json = Sound().dump();
  const std::string magic = "\"sinkstream-model\"";
  json.replace(json.find(magic), magic.size(), std::string(kDepth, '[') + std::string(kDepth, ']'));
  EXPECT_EQ(ParseManifest(json).status().message(),
            "manifest.json: is nested too deeply: more than 100 levels");
}

}  // namespace
}  // namespace sinkstream
