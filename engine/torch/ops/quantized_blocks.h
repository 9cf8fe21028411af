// Weights in GGUF's blocks: 32 inputs of one output, [scale][minimum, kQ4_1 alone][codes], scale
// and minimum fp16. A weight is
//   kQ8_0 (34 bytes)  scale * q, q a signed byte
//   kQ4_0 (18 bytes)  scale * (q - 8), q a nibble
//   kQ4_1 (20 bytes)  scale * q + minimum
// Of nibbles, byte i holds input i in its low and input i + 16 in its high half.
//
// Packed, a panel of 32 outputs is a row of groups, one for every 32 inputs, each
// [codes][scales, fp16 [32]][minima, fp16 [32], kQ4_1 alone], where codes are the blocks' in words
// of four bytes: [8 (nibbles: 4) words][32 outputs][4]. Outputs beyond the matrix's are zeros.
// No torch; pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/torch/ops/kernels.h"

namespace sinkstream {

// True of kQ4_0, kQ4_1 and kQ8_0, which alone the following take.
bool IsBlocks(kernels::Element element);
int64_t BlockBytes(kernels::Element element);

// Number of bytes that [out, in] takes when it is packed. `in` is a multiple of 32.
size_t PackedBlockBytes(kernels::Element element, int64_t out, int64_t in);
// From [out][in / 32] blocks into zeroed memory, and back.
void PackBlocks(kernels::Element element, const uint8_t* blocks, int64_t out, int64_t in,
                uint8_t* packed);
void UnpackBlocks(kernels::Element element, const uint8_t* packed, int64_t out, int64_t in,
                  uint8_t* blocks);
// The weights of row `output` of what is packed: `to` holds `in` floats.
void DequantizeRow(kernels::Element element, const uint8_t* packed, int64_t output, int64_t in,
                   float* to);

// The first of [out][in / 32] blocks, counted along the rows, whose scale or minimum is not finite;
// -1 if there is none.
int64_t FirstBlockNotFinite(kernels::Element element, const uint8_t* blocks, int64_t count);

}  // namespace sinkstream
