// Errors of libtorch and of model files, as the lines of text that our own errors are. No torch.
// Pure functions; any thread.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace sinkstream {

// The line of `error` that says what is wrong, 200 bytes at most: libtorch's errors go on with
// traces through generated code.
std::string Reason(const std::exception& error);

// `text` without line breaks, other control characters and invalid UTF-8, which it may have from a
// file: each of their bytes as \n, \r, \t or \x1b.
std::string OneLine(std::string_view text);

}  // namespace sinkstream
