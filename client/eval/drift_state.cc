#include "client/eval/drift_state.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/tool/output_file.h"

namespace sinkstream::eval {
namespace {

Json ToJson(const DriftRun& run) {
  return {{"text", run.text},
          {"model", run.model},
          {"weight_dtype", run.weight_dtype},
          {"kv_dtype", run.kv_dtype},
          {"tokens", run.tokens},
          {"stretches", run.stretches},
          {"sinks", run.sinks},
          {"window", run.window},
          {"recompute_tokens", run.recompute_tokens}};
}

Json ToJson(const Stretch& stretch) {
  return {{"nll_total", stretch.sum.total},
          {"scored_tokens", stretch.sum.tokens},
          {"sampled", stretch.sampled},
          {"recomputed", stretch.recomputed},
          {"seconds", stretch.seconds},
          {"timed_tokens", stretch.timed_tokens},
          {"resident_bytes", stretch.resident_bytes}};
}

// JSON has no infinity, the score of a token that the model rules out: it is written as null.
double ToNll(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::infinity() : json.get<double>();
}

std::vector<double> ToNlls(const Json& json) {
  std::vector<double> nll;
  for (const Json& one : json) nll.push_back(ToNll(one));
  return nll;
}

void FromJson(const Json& json, Stretch& stretch) {
  stretch.sum = {ToNll(json.at("nll_total")), json.at("scored_tokens").get<int64_t>()};
  stretch.sampled = ToNlls(json.at("sampled"));
  stretch.recomputed = ToNlls(json.at("recomputed"));
  stretch.seconds = json.at("seconds").get<double>();
  stretch.timed_tokens = json.at("timed_tokens").get<int64_t>();
  stretch.resident_bytes = json.at("resident_bytes").get<int64_t>();
}

// The first setting in which the file's run is another.
std::string Difference(const Json& file, const Json& run) {
  for (const auto& [name, value] : run.items()) {
    if (file.at(name) != value) {
      return absl::StrCat("its ", name, " is ", file.at(name).dump(), ", not ", value.dump());
    }
  }
  return "";
}

absl::Status Damaged(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": is not the state of a drift run, or is damaged"));
}

absl::StatusOr<DriftState> FromJson(const std::string& path, const Json& json,
                                    const DriftRun& run) {
  const std::string difference = Difference(json.at("run"), ToJson(run));
  if (!difference.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": is of another run (", difference, "); remove it, or name another with --state"));
  }
  DriftState state = BeginDrift(run);
  state.session_id = json.at("session_id").get<std::string>();
  state.position = json.at("position").get<int64_t>();
  if (state.position < 0 || state.position > run.tokens) return Damaged(path);
  for (size_t i = 0; i < state.stretches.size(); ++i) {
    FromJson(json.at("stretches").at(i), state.stretches[i]);
  }
  return state;
}

}  // namespace

double Stretch::recompute_ratio() const {
  // Of the tokens that both have scored.
  const size_t count = std::min(sampled.size(), recomputed.size());
  const auto mean = [count](const std::vector<double>& nll) {
    return Sum(std::span(nll).first(count), 0).Mean();
  };
  return std::exp(mean(sampled) - mean(recomputed));
}

DriftState BeginDrift(const DriftRun& run) {
  DriftState state;
  state.run = run;
  for (int64_t i = 0; i < run.stretches; ++i) {
    Stretch& stretch = state.stretches.emplace_back();
    stretch.begin = i * run.tokens / run.stretches;
    stretch.end = (i + 1) * run.tokens / run.stretches;
  }
  return state;
}

std::vector<int64_t> SamplesOf(const Stretch& stretch, int64_t recompute_tokens) {
  if (recompute_tokens == 0) return {};
  return SampleEvenly(std::max<int64_t>(1, stretch.begin), stretch.end, recompute_tokens);
}

absl::StatusOr<DriftState> LoadDrift(const std::string& path, const DriftRun& run) {
  if (!std::filesystem::exists(path)) return BeginDrift(run);
  std::ifstream file(path);
  try {
    return FromJson(path, Json::parse(file), run);
  } catch (const nlohmann::json::exception&) {
    return Damaged(path);
  }
}

absl::Status SaveDrift(const std::string& path, const DriftState& state) {
  return WriteWhole(path, ToJson(state).dump(1) + "\n");
}

std::string Digest(std::span<const int32_t> ids) {
  uint64_t digest = 0xcbf29ce484222325;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      digest = (digest ^ (static_cast<uint32_t>(id) >> shift & 0xff)) * 0x100000001b3;
    }
  }
  return absl::StrFormat("%016x", digest);
}

Json ToJson(const DriftState& state) {
  Json json = {{"run", ToJson(state.run)},
               {"session_id", state.session_id},
               {"position", state.position},
               {"stretches", Json::array()}};
  for (const Stretch& stretch : state.stretches) json["stretches"].push_back(ToJson(stretch));
  return json;
}

}  // namespace sinkstream::eval
