#include "engine/torch/ops/cpu_features.h"

namespace sinkstream {

#if defined(__x86_64__)
bool HasAvx2() { return __builtin_cpu_supports("x86-64-v3"); }
bool HasAvx512() { return HasAvx2() && __builtin_cpu_supports("x86-64-v4"); }
bool HasVnni() { return HasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool HasBfloat16() { return HasVnni() && __builtin_cpu_supports("avx512bf16"); }
bool HasAmx() { return HasBfloat16() && HasTiles(); }
#else
bool HasAvx2() { return false; }
bool HasAvx512() { return false; }
bool HasVnni() { return false; }
bool HasBfloat16() { return false; }
bool HasAmx() { return false; }
#endif

}  // namespace sinkstream
