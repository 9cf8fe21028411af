// Version of this build, from the file VERSION.
#pragma once

namespace sinkstream {

extern const char kServerVersion[];

}  // namespace sinkstream
