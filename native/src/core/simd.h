// Vectors by GCC/Clang extensions. STRIATE_VEC_BYTES is set per instruction set by the build: 16 (x86-64-v2, NEON),
// 32 (AVX2+FMA), 64 (AVX-512). A 64-byte vector compiled for AVX2 runs at a third of the speed: never hard-code it.
#pragma once
#include <cstring>

#ifndef STRIATE_VEC_BYTES
#error "compile through the build: STRIATE_VEC_BYTES and STRIATE_ISA_NS come from there"
#endif

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int kLanes = STRIATE_VEC_BYTES / 4;
typedef float Vec __attribute__((vector_size(STRIATE_VEC_BYTES), aligned(4), may_alias));
typedef int IVec __attribute__((vector_size(STRIATE_VEC_BYTES), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec splat(float x) { return Vec{} + x; }

// The value is computed here and not where it is used: compilers that put off sums run out of registers for their
// terms.
inline void settle(Vec& v) {
#if defined(__x86_64__) || defined(__i386__)
    asm("" : "+v"(v));
#elif defined(__aarch64__)
    asm("" : "+w"(v));
#endif
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
