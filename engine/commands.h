// Commands: what other threads ask of the engine thread, as they lie in its inbox (inbox.h). Text
// is encoded already.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "engine/kv/block_park.h"
#include "engine/options.h"
#include "engine/outbox.h"
#include "engine/session/sequence.h"
#include "engine/types.h"

namespace sinkstream {

struct OpenCommand {
  AttachmentId attachment = 0;
  OpenRequest request;  // without its system_prompt
  // The tokens of that, pinned whole; absent where it is.
  std::optional<std::vector<TokenId>> system_turn;
  std::shared_ptr<Outbox> outbox;
};

// A turn, if `replies`, else an append.
struct RequestCommand {
  AttachmentId attachment = 0;
  uint64_t request_id = 0;
  bool replies = false;
  RequestInput input;
  SamplingOverrides sampling;                           // of a turn
  std::optional<ScoringParams> scoring = std::nullopt;  // of an append
  // When it was asked for, its wait in the inbox before it; absent: when it is carried out.
  std::optional<absl::Time> arrived = std::nullopt;
};

struct CancelCommand {
  AttachmentId attachment = 0;
};

struct CloseCommand {
  AttachmentId attachment = 0;
};

struct HalfCloseCommand {
  AttachmentId attachment = 0;
};

struct DetachCommand {
  AttachmentId attachment = 0;
};

struct DrainCommand {
  absl::Duration time_left;
};

struct ParkCommand {
  BlockPark::Outcome outcome;
};

using Command = std::variant<OpenCommand, RequestCommand, CancelCommand, CloseCommand,
                             HalfCloseCommand, DetachCommand, DrainCommand, ParkCommand>;

// What the text, the tokens and the stops of a command take while it waits. Unit: bytes.
size_t HeldBytes(const OpenCommand& command);
size_t HeldBytes(const Command& command);

}  // namespace sinkstream
