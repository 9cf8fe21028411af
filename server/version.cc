#include "server/version.h"

namespace sinkstream {

const char kServerVersion[] = SINKSTREAM_VERSION;

}  // namespace sinkstream
