#include "engine/torch/ops/isa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace sinkstream {
namespace kernels {

#if defined(__x86_64__)
namespace amx {
extern const KernelTable kTable;
}
namespace avx512_bf16 {
extern const KernelTable kTable;
}
namespace avx512_vnni {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
namespace avx2 {
extern const KernelTable kTable;
}
#endif
namespace portable {
extern const KernelTable kTable;
}

}  // namespace kernels

namespace {

#if defined(__x86_64__)
// Linux lets a process use the registers of AMX once it has asked.
bool AskForTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool HasVnni() {
  return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni");
}

bool HasBfloat16() { return HasVnni() && __builtin_cpu_supports("avx512bf16"); }

bool HasAmx() {
  static const bool has = HasBfloat16() && __builtin_cpu_supports("amx-int8") && AskForTiles();
  return has;
}
#endif

std::vector<const kernels::KernelTable*> SupportedTables() {
  std::vector<const kernels::KernelTable*> tables;
#if defined(__x86_64__)
  if (HasAmx()) tables.push_back(&kernels::amx::kTable);
  if (HasBfloat16()) tables.push_back(&kernels::avx512_bf16::kTable);
  if (HasVnni()) tables.push_back(&kernels::avx512_vnni::kTable);
  if (__builtin_cpu_supports("x86-64-v4")) tables.push_back(&kernels::avx512::kTable);
  if (__builtin_cpu_supports("x86-64-v3")) tables.push_back(&kernels::avx2::kTable);
#endif
  tables.push_back(&kernels::portable::kTable);
  return tables;
}

const kernels::KernelTable* Find(const std::string& name) {
  const auto tables = SupportedTables();
  if (name == "auto") return tables.front();
  for (const kernels::KernelTable* table : tables) {
    if (name == table->name) return table;
  }
  return nullptr;
}

std::atomic<const kernels::KernelTable*>& Chosen() {
  static std::atomic<const kernels::KernelTable*> chosen{Find("auto")};
  return chosen;
}

}  // namespace

const kernels::KernelTable& Kernels() { return *Chosen().load(std::memory_order_relaxed); }

std::vector<std::string> SupportedIsas() {
  std::vector<std::string> names;
  for (const kernels::KernelTable* table : SupportedTables()) names.emplace_back(table->name);
  return names;
}

bool SelectIsa(const std::string& name) {
  const kernels::KernelTable* table = Find(name);
  if (table != nullptr) Chosen().store(table);
  return table != nullptr;
}

}  // namespace sinkstream
