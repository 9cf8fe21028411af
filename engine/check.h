// SINKSTREAM_CHECK: ends the process when an invariant of our own is broken. Never for what a
// client, a file or the machine can cause: that is an absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>

#define SINKSTREAM_CHECK(condition)                                                          \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
