// The kernels behind the operators: a table of plain functions, compiled once per instruction set
// from the same text (isa.h chooses). No torch, no allocation, no threads: each function computes
// the part of a result it is told to.
//
// Every number a kernel writes is one chain of operations in a fixed order, so it does not depend
// on how rows are tiled or how the work is split: a row's result is the same bit for bit whatever
// else is in the batch.
#pragma once

#include <cstdint>

namespace sinkstream::kernels {

inline constexpr int kPanelOutputs = 32;  // outputs a panel of packed weights holds
inline constexpr int kBlockTokens = 16;   // tokens a KV block holds
inline constexpr int kMaxHeadDim = 512;
inline constexpr int kKvPack = 2;  // numbers of bfloat16 and int8 KV that lie side by side
inline constexpr int kKvScaleBytes = kBlockTokens * int{sizeof(float)};

// Of weights and KV; kInt8 of KV alone: codes, and behind those of a block's and head's keys, or of
// its values, a scale for each slot (kKvScaleBytes); the others of weights alone: GGUF's blocks
// (quantized_blocks.h) and rows of bytes (int8_rows.h).
enum class Element { kFloat32, kBfloat16, kInt8, kQ4_0, kQ4_1, kQ8_0, kInt8Rows };
enum class GeluKind { kErf, kTanh };  // exact, or its approximation by tanh

// The highest of a row's outputs so far: of equals the first; NaN once one of them was.
struct RowPeak {
  float value;
  int32_t output;
};

// y = products + bias + residual. bias and residual may be null.
struct LinearOutput {
  const float* bias;      // [ceil(out / 32) * 32]
  const float* residual;  // [rows][out]
  float* y;               // [rows][out]
  int64_t out;
  // Both null unless peaks are asked for. The call raises each row's peak by the outputs that it
  // computes, and writes no y for rows of which nothing but the peak is wanted.
  RowPeak* peaks = nullptr;             // [rows]
  const uint8_t* peak_alone = nullptr;  // [rows]; not 0: the peak alone is wanted
};

// The products x @ W.T.
struct LinearCall {
  const float* x;      // [rows][in]
  const void* panels;  // [ceil(out / 32)][in][32], zeros beyond `out`
  int64_t in;
  LinearOutput output;
};

inline constexpr int kBlockInputs = 32;  // inputs of a block of weights

// What the codes of a group of a row stand for: x is about scale * code. A group with a NaN or
// infinity gets a NaN scale, so every result made from it is NaN.
struct ActivationGroup {
  float scale;  // max |x| / 127
  float scaled_sum;
  int32_t sum;  // of the codes
};

// Codes are x * (127 / max |x|) to the nearest, ties to even; 0 where that maximum is below 1e-30.
struct QuantizeCall {
  const float* x;           // [rows][in]
  int8_t* codes;            // [in / group][rows][group]
  ActivationGroup* groups;  // [in / group][rows]
  int64_t rows;
  int64_t in;
  int64_t group;  // 32 or 64; divides `in`
};

// The products of quantised activations with quantised weights: over groups in ascending order,
//   sum = fma(scale * d, float(exact sum of code * (q - zero)), sum)
//   sum = fma(scaled_sum, m, sum)      kQ4_1 alone
// or, of kInt8Rows, fma(scale, float(exact sum), sum), and in the end sum * d: with every
// instruction set that has FMA, so the same bits. "portable" may round the products too.
struct QuantizedLinearCall {
  const int8_t* codes;            // [in / group][rows][group]: 32, with kInt8Rows 64
  const ActivationGroup* groups;  // [in / group][rows]
  const void* panels;             // packed as quantized_blocks.h or int8_rows.h says
  int64_t rows;
  int64_t in;
  LinearOutput output;
};

struct Range {
  int64_t begin;
  int64_t end;
};

struct RmsNormCall {
  const float* x;       // [rows][size]
  const float* weight;  // [size]
  float* y;             // [rows][size]
  int64_t size;
  float epsilon;
};

struct LayerNormCall {
  const float* x;       // [rows][size]
  const float* weight;  // [size]
  const float* bias;    // [size], or null
  float* y;             // [rows][size]
  int64_t size;
  float epsilon;
};

// RMS norm of each of a row's first heads by itself; the others are copied.
struct HeadRmsNormCall {
  const float* x;       // [rows][heads][head_dim]
  const float* weight;  // [normed_heads][head_dim]
  float* y;             // [rows][heads][head_dim]
  int64_t heads;
  int64_t normed_heads;
  int64_t head_dim;
  float epsilon;
};

struct ActivationCall {
  const float* x;  // [rows][size]
  float* y;        // [rows][size]
  int64_t size;
};

// y = activation(gate) * up.
struct GatedCall {
  const float* gate_up;  // [rows][2 * size]
  float* y;              // [rows][size]
  int64_t size;
};

// Where a row's keys and values go.
struct KvSlot {
  int32_t block;
  int32_t slot;
};

struct AttentionCall {
  const float* qkv;     // [rows][(heads + 2 * kv_heads) * head_dim]
  const float* rotary;  // [rows][2 (recent, pinned)][2 (cos, sin)][rotary_half], null if that is 0
  const float* slopes;  // ALiBi: [heads], magnitudes of 1e6 at most; or null
  void* kv;  // one layer: [blocks][kv_heads][2][16 * padded_dim]; keys [dim / p][slot][p], values
             // [slot / p][dim][p], p being 1 with float32, else kKvPack;
             // kInt8: [2][16 * padded_dim + kKvScaleBytes], x being scale * code
  const KvSlot* slots;  // [rows]
  float* out;           // [rows][heads * head_dim]
  int heads;
  int kv_heads;
  int head_dim;
  int padded_dim;   // head_dim rounded up to a multiple of 16
  int rotary_half;  // half of the rotated dimensions, which come first
  float scale;
};

// Consecutive rows of one sequence that attend together.
struct AttentionTile {
  int64_t row;  // first row in the batch
  int64_t rows;
  int64_t position;  // text position of the first row
  int64_t sinks;
  int64_t window;
  const int32_t* pinned;  // blocks of the pinned tokens the tile sees
  int64_t pinned_blocks;
  const int32_t* recent;  // blocks of the recent tokens the tile sees
  int64_t recent_blocks;
  int64_t recent_position;  // text position of the first slot of recent[0]
};

struct KernelTable {
  const char* name;
  void (*linear)(Element, const LinearCall&, Range panels, Range rows);
  void (*quantize)(const QuantizeCall&, Range rows);
  // Bytes of scratch, 64-byte aligned, that `quantized_linear` needs.
  int64_t (*quantized_linear_scratch)(const QuantizedLinearCall&);
  void (*quantized_linear)(Element, const QuantizedLinearCall&, Range panels, Range rows,
                           void* scratch);
  void (*rms_norm)(const RmsNormCall&, Range rows);
  void (*layer_norm)(const LayerNormCall&, Range rows);
  void (*head_rms_norm)(const HeadRmsNormCall&, Range rows);
  void (*silu_mul)(const GatedCall&, Range rows);
  void (*gelu)(GeluKind, const ActivationCall&, Range rows);
  void (*gelu_mul)(GeluKind, const GatedCall&, Range rows);
  // Rotates the rows' keys and puts keys and values into their blocks.
  void (*write_kv)(Element, const AttentionCall&, Range rows);
  // Floats of scratch that `attend` needs for a tile.
  int64_t (*attend_scratch)(const AttentionCall&, const AttentionTile&);
  // One tile, one kv head and the query heads that share it. Every visible key must have been
  // written.
  void (*attend)(Element, const AttentionCall&, const AttentionTile&, int kv_head, float* scratch);
};

}  // namespace sinkstream::kernels
