#include "server/process/version.h"

namespace sinkstream {

const char kServerVersion[] = SINKSTREAM_VERSION;

}  // namespace sinkstream
