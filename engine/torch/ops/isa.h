// Which instruction set the kernels use: the best this CPU has, unless a test or SINKSTREAM_ISA
// says otherwise.
#pragma once

#include <string>
#include <vector>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// The kernels in use. Thread-safe; the first call makes the choice ("auto", or the environment's
// SINKSTREAM_ISA).
const kernels::KernelTable& Kernels();

// Names this CPU can run, best first: of "avx512", "avx2", "portable".
std::vector<std::string> SupportedIsas();

// Chooses "auto" or one of SupportedIsas(). False, and no change, for any other name. Not while an
// operator runs.
bool SelectIsa(const std::string& name);

}  // namespace sinkstream
