// What this CPU, and Linux on it, can run. Each includes what the one before it asks for. Any
// thread.
#pragma once

namespace sinkstream {

bool HasAvx2();    // with FMA, F16C and BMI2: x86-64-v3
bool HasAvx512();  // x86-64-v4
bool HasVnni();
bool HasBfloat16();
bool HasAmx();

// Tiles of bytes, by themselves (cpu_tiles.cc; a test puts another in its place). The first call
// asks Linux for their registers, for the whole process; false if it refuses.
bool HasTiles();

}  // namespace sinkstream
