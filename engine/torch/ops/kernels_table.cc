#include "engine/torch/ops/kernels_isa.h"

#define SINKSTREAM_TEXT(name) #name
#define SINKSTREAM_NAME(name) SINKSTREAM_TEXT(name)

namespace sinkstream::kernels::SINKSTREAM_ISA {

extern const KernelTable kTable;
const KernelTable kTable = {SINKSTREAM_NAME(SINKSTREAM_ISA),
                            Linear,
                            Quantize,
                            QuantizedLinearScratch,
                            QuantizedLinear,
                            RmsNorm,
                            LayerNorm,
                            HeadRmsNorm,
                            SiluMul,
                            Gelu,
                            GeluMul,
                            WriteKv,
                            AttendScratch,
                            Attend};

}  // namespace sinkstream::kernels::SINKSTREAM_ISA
