// Text: what the server takes as such, and what a terminal may be given.
#pragma once

#include <string>
#include <string_view>

namespace sinkstream {

// The server takes nothing else. A message with any other text would end the whole stream.
bool IsUtf8(std::string_view text);

// `text` with U+FFFD for each character that could control a terminal (C0 but '\n' and '\t', DEL,
// U+0080 to U+009F: titles, the clipboard) and for each byte that is of no character.
std::string Printable(std::string_view text);

}  // namespace sinkstream
