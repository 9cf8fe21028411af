// Events of the engine to messages for a client.
#pragma once

#include "engine/engine.h"
#include "engine/types.h"
#include "sinkstream/v1/chat.pb.h"
#include "sinkstream/v1/score.pb.h"

namespace sinkstream {

// `max_message_bytes`: of one message from a client.
v1::Limits ToLimits(const EngineLimits& limits, const ModelSpec& spec, int64_t max_message_bytes);

// `tokenizer` gives the bytes beside log-probabilities, `limits` what `opened` tells.
v1::ConverseResponse ToResponse(const Event& event, const Tokenizer& tokenizer,
                                const v1::Limits& limits);

v1::ScoreResponse ToScoreResponse(const Scores& scores, const Tokenizer& tokenizer);
v1::ScoreResponse ToScoreResponse(const AppendDone& done);

v1::GetLoadResponse ToLoadResponse(int64_t resident_bytes, const PoolStats& pool, int64_t kv_bytes);

v1::GetModelResponse ToModelResponse(const Engine& engine, const v1::Limits& limits);

}  // namespace sinkstream
