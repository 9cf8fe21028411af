// The operator library `sinkstream`: its classes, its operators and the functions that are neither.
#include <torch/library.h>

#include <limits>
#include <string>

#include "engine/text/chat_format.h"
#include "engine/text/chat_format_json.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_json.h"
#include "engine/torch/machine_limits.h"
#include "engine/torch/ops/isa.h"
#include "engine/torch/ops/linear_weight.h"
#include "engine/torch/ops/operators.h"
#include "engine/torch/ops/step_context.h"
#include "engine/torch/ops/thread_pool.h"

namespace sinkstream {
namespace {

std::string Isa() { return Kernels().name; }

void ChooseIsa(const std::string& name) {
  TORCH_CHECK(SelectIsa(name), "select_isa: this CPU has no ", name);
}

void SetThreads(int64_t threads) {
  TORCH_CHECK(threads >= 1 && threads <= kMaxThreads, "set_threads: ", threads,
              " is not within 1 to ", kMaxThreads);
  const absl::Status status = SetOperatorThreads(static_cast<int>(threads));
  TORCH_CHECK(status.ok(), "set_threads: ", std::string(status.message()));
}

// For the exporter: what the server's parsers would refuse is refused when the file is made.
void CheckText(const std::string& tokenizer_json, const std::string& chat_format_json,
               int64_t vocab_size) {
  TORCH_CHECK(vocab_size >= 1 && vocab_size <= std::numeric_limits<int32_t>::max(),
              "check_text: vocab_size ", vocab_size, " is not within 1 to 2^31 - 1");
  const auto tokenizer = ParseTokenizer(tokenizer_json);
  TORCH_CHECK(tokenizer.ok(), std::string(tokenizer.status().message()));
  const auto chat_format = ParseChatFormat(chat_format_json, static_cast<int32_t>(vocab_size));
  TORCH_CHECK(chat_format.ok(), std::string(chat_format.status().message()));
}

}  // namespace

TORCH_LIBRARY(sinkstream, library) {
  RegisterLinearWeight(library);
  RegisterStepContext(library);
  RegisterLinearOperators(library);
  RegisterRowwiseOperators(library);
  RegisterAttentionOperators(library);
  library.def("check_text(str tokenizer_json, str chat_format_json, int vocab_size) -> ()",
              &CheckText);
  library.def("isa", &Isa);
  library.def("supported_isas", &SupportedIsas);
  library.def("select_isa", &ChooseIsa);
  library.def("set_threads", &SetThreads);
}

}  // namespace sinkstream
