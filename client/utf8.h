// What the server takes as text. A message with any other would end the whole stream.
#pragma once

#include <string_view>

namespace sinkstream {

bool IsUtf8(std::string_view text);

}  // namespace sinkstream
