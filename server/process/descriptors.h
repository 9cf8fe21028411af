// The process's file descriptors, put in order before anything opens one.
#pragma once

namespace sinkstream {

// Opens /dev/null in place of standard input, output and error where they are closed: else a socket
// would take their numbers, and what is printed would go there.
void OpenStandardDescriptors();

// Raises the number of files that the process may open to the most that it may ask for: each
// connection and each parked session takes one.
void RaiseFileLimit();

}  // namespace sinkstream
