// Which instruction set the kernels use: the best this CPU has, unless SelectIsa says otherwise.
#pragma once

#include <string>
#include <vector>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// The kernels in use: those of "auto" until SelectIsa. Any thread.
const kernels::KernelTable& Kernels();

// Names this CPU can run, best first: of "amx", "avx512_bf16", "avx512_vnni", "avx512", "avx2",
// "portable". The first use of anything here asks Linux for AMX's registers, once for the whole
// process; where it refuses, "amx" is not among the names.
std::vector<std::string> SupportedIsas();

// Chooses "auto" or one of SupportedIsas(). False, and no change, for any other name. Not while an
// operator runs.
bool SelectIsa(const std::string& name);

}  // namespace sinkstream
