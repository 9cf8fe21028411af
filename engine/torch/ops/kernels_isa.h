// The kernels of the instruction set that this translation unit is compiled for; SINKSTREAM_ISA
// names it. For the kernels_*.cc files alone.
#pragma once

#include "engine/torch/ops/kernels.h"

namespace sinkstream::kernels::SINKSTREAM_ISA {

void Linear(Element element, const LinearCall& call, Range panels, Range rows);
void Quantize(const QuantizeCall& call, Range rows);
int64_t QuantizedLinearScratch(const QuantizedLinearCall& call);
void QuantizedLinear(Element element, const QuantizedLinearCall& call, Range panels, Range rows,
                     void* scratch);
// Of amx alone: the same results as QuantizedLinear's other way, by matrix units.
int64_t TileScratch(const QuantizedLinearCall& call);
void LinearByTiles(Element element, const QuantizedLinearCall& call, Range panels, Range rows,
                   void* scratch);
void RmsNorm(const RmsNormCall& call, Range rows);
void LayerNorm(const LayerNormCall& call, Range rows);
void HeadRmsNorm(const HeadRmsNormCall& call, Range rows);
void SiluMul(const GatedCall& call, Range rows);
void Gelu(GeluKind kind, const ActivationCall& call, Range rows);
void GeluMul(GeluKind kind, const GatedCall& call, Range rows);
void WriteKv(Element element, const AttentionCall& call, Range rows);
int64_t AttendScratch(const AttentionCall& call, const AttentionTile& tile);
void Attend(Element element, const AttentionCall& call, const AttentionTile& tile, int kv_head,
            float* scratch);

}  // namespace sinkstream::kernels::SINKSTREAM_ISA
