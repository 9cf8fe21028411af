#include "engine/torch/ops/isa.h"

#include <atomic>

#include "engine/torch/ops/cpu_features.h"

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

std::vector<const kernels::KernelTable*> SupportedTables() {
  std::vector<const kernels::KernelTable*> tables;
#if defined(__x86_64__)
  if (HasAmx()) tables.push_back(&kernels::amx::kTable);
  if (HasBfloat16()) tables.push_back(&kernels::avx512_bf16::kTable);
  if (HasVnni()) tables.push_back(&kernels::avx512_vnni::kTable);
  if (HasAvx512()) tables.push_back(&kernels::avx512::kTable);
  if (HasAvx2()) tables.push_back(&kernels::avx2::kTable);
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
