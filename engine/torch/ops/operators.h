// The parts of the operator library `sinkstream`; docs/model_artifact.md says what each
// operator is. One thread at a time runs operators: they share the pool of thread_pool.h. A new
// argument of an operator comes last and has a default: older model files do not give it.
#pragma once

#include <torch/library.h>

namespace sinkstream {

// How schemas name the library's classes.
#define SINKSTREAM_LINEAR_WEIGHT "__torch__.torch.classes.sinkstream.LinearWeight"
#define SINKSTREAM_STEP_CONTEXT "__torch__.torch.classes.sinkstream.StepContext"

// Require that the classes are registered.
void RegisterLinearOperators(torch::Library& library);
void RegisterRowwiseOperators(torch::Library& library);
void RegisterAttentionOperators(torch::Library& library);

}  // namespace sinkstream
