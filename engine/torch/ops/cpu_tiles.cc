#include "engine/torch/ops/cpu_features.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sinkstream {

#if defined(__x86_64__)
namespace {

// Linux lets a process use the registers of AMX once it has asked.
bool AskForTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool HasTiles() {
  static const bool has = __builtin_cpu_supports("amx-int8") && AskForTiles();
  return has;
}
#else
bool HasTiles() { return false; }
#endif

}  // namespace sinkstream
