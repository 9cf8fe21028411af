#include "engine/torch/ops/cpu_features.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>

namespace sinkstream {
namespace {

// Linux lets a process use the registers of AMX once it has asked.
bool AskForTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool HasAvx2() { return __builtin_cpu_supports("x86-64-v3"); }
bool HasAvx512() { return HasAvx2() && __builtin_cpu_supports("x86-64-v4"); }
bool HasVnni() { return HasAvx512() && __builtin_cpu_supports("avx512vnni"); }
bool HasBfloat16() { return HasVnni() && __builtin_cpu_supports("avx512bf16"); }

bool HasAmx() {
  static const bool has = HasBfloat16() && __builtin_cpu_supports("amx-int8") && AskForTiles();
  return has;
}

}  // namespace sinkstream
#endif
