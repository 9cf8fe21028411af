// Weights in rows of bytes: of an output, [scale, float32][`in` signed bytes q]; a weight is scale
// * q.
//
// Packed, a panel of 32 outputs is [in / 4][32 outputs][4 bytes] and then its outputs'
// scales, float32 [32]. Outputs beyond the matrix's have the scale 0. No torch; pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sinkstream {

inline constexpr int64_t kInt8RowGroup = 64;  // divides `in`: activations that share a scale

inline int64_t Int8RowBytes(int64_t in) { return int64_t{sizeof(float)} + in; }

// Number of bytes that [out, in] takes when it is packed.
size_t PackedInt8RowsBytes(int64_t out, int64_t in);
// From [out] rows into zeroed memory, and back.
void PackInt8Rows(const uint8_t* rows, int64_t out, int64_t in, uint8_t* packed);
void UnpackInt8Rows(const uint8_t* packed, int64_t out, int64_t in, uint8_t* rows);
// The weights of row `output` of what is packed: `to` holds `in` floats.
void DequantizeInt8Row(const uint8_t* packed, int64_t output, int64_t in, float* to);

// The first of [out] rows whose scale is not finite; -1 if there is none.
int64_t FirstInt8RowNotFinite(const uint8_t* rows, int64_t out, int64_t in);

}  // namespace sinkstream
