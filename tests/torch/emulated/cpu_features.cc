// As the engine's, of a CPU whose tiles are emulated: it has them wherever the rest of the kernels
// on tiles runs.
#include "engine/torch/ops/cpu_features.h"

namespace sinkstream {

bool HasAvx2() { return __builtin_cpu_supports("x86-64-v3"); }
bool HasAvx512() { return HasAvx2() && __builtin_cpu_supports("x86-64-v4"); }
bool HasVnni() { return HasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool HasBfloat16() { return HasVnni() && __builtin_cpu_supports("avx512bf16"); }
bool HasAmx() { return HasBfloat16(); }

}  // namespace sinkstream
