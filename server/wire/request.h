// Messages of a client to requests of the engine: here is checked everything that needs no session,
// and nothing else. A refusal is INVALID_ARGUMENT about a field, by its path in the wire contract.
// The engine checks sampling and the window, since what they leave out comes from the session and
// its model.
#pragma once

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/options.h"
#include "sinkstream/v1/chat.pb.h"
#include "sinkstream/v1/score.pb.h"

namespace sinkstream {

struct RequestRules {
  EngineLimits limits;
  int32_t vocab_size = 0;
};

// NOT_FOUND for a session_id that is none.
absl::StatusOr<OpenRequest> ToOpenRequest(v1::Open open, const RequestRules& rules);
absl::StatusOr<TurnRequest> ToTurnRequest(v1::Turn turn, const RequestRules& rules);
absl::StatusOr<AppendRequest> ToAppendRequest(v1::Append append, const RequestRules& rules);

// What a Score call asks of the engine: a session of its own and an append to it.
struct ScoreCall {
  OpenRequest open;
  AppendRequest append;
};
// All of it is checked here, since the engine's names of the fields are those of a Converse stream.
// A text is encoded whole.
absl::StatusOr<ScoreCall> ToScoreCall(const v1::ScoreRequest& score, const RequestRules& rules,
                                      const Engine& engine);

// `text` of a request: not empty, within the limit.
absl::Status CheckText(const std::string& text, const std::string& field,
                       const RequestRules& rules);

// Ids within the vocabulary, no more than the limit; `least`: fewest of them.
absl::StatusOr<std::vector<TokenId>> ToTokens(const google::protobuf::RepeatedField<int32_t>& ids,
                                              int least, const std::string& field,
                                              const RequestRules& rules);

}  // namespace sinkstream
