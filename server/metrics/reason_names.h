// How metrics and the log name what the engine tells by its enumerators.
#pragma once

#include "engine/observer.h"
#include "engine/types.h"

namespace sinkstream {

// In lower case, words joined by '_': "end_of_turn".
const char* Name(FinishReason reason);
const char* Name(CloseReason reason);
const char* Name(ParkOperation operation);

}  // namespace sinkstream
