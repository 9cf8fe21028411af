#include "server/metrics/reason_names.h"

namespace sinkstream {

const char* Name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfTurn:
      return "end_of_turn";
    case FinishReason::kStopToken:
      return "stop_token";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

const char* Name(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClient:
      return "client";
    case CloseReason::kIdle:
      return "idle";
    case CloseReason::kStreamEnd:
      return "stream_end";
    case CloseReason::kShutdown:
      return "shutdown";
    case CloseReason::kLost:
      return "lost";
  }
  return "";
}

const char* Name(ParkOperation operation) {
  switch (operation) {
    case ParkOperation::kSave:
      return "save";
    case ParkOperation::kLoad:
      return "load";
  }
  return "";
}

}  // namespace sinkstream
