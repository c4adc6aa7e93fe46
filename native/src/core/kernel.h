// What a compiled kernel sees: dense C-order tensors, integer and float attributes, scratch memory and a thread pool.
#pragma once
#include <cstddef>
#include <cstdint>

namespace striate {

class ThreadPool;

constexpr int kMaxRank = 8;

enum class DType : std::uint8_t { f32 = 0, f64, i32, i64, u8, b8 };

// Dense, C order. `data` may be null while only shapes are asked about (scratch_bytes).
struct Tensor {
    void* data = nullptr;
    DType dtype = DType::f32;
    int rank = 0;
    std::int64_t shape[kMaxRank] = {};

    float* f32() const { return static_cast<float*>(data); }
    std::int64_t size() const {
        std::int64_t n = 1;
        for (int i = 0; i < rank; ++i) n *= shape[i];
        return n;
    }
};

// One step of a plan. Kernels must not allocate, throw or keep state: everything they need is here.
struct Step {
    const Tensor* in = nullptr;
    int n_in = 0;
    const Tensor* out = nullptr;
    int n_out = 0;
    const std::int64_t* ints = nullptr;
    int n_ints = 0;
    const double* floats = nullptr;
    int n_floats = 0;
    void* scratch = nullptr;  // 64-byte aligned, at least scratch_bytes(step, threads)
    ThreadPool* pool = nullptr;
};

using RunFn = void (*)(const Step&);
// Bytes of scratch for `threads` threads; called with tensors whose data is null.
using ScratchFn = std::size_t (*)(const Step&, int threads);

// What is wrong with a step's operands or attributes, or null; called once, when a program is made.
using CheckFn = const char* (*)(const Step&);

struct Kernel {
    const char* name;
    RunFn run;
    ScratchFn scratch_bytes;  // null: none needed
    CheckFn check = nullptr;
};

// Each kernel file is compiled once per instruction set, inside namespace STRIATE_ISA_NS, and lists its kernels in a
// table that native/src/kernels/tables.h names; the registry picks the best set that this processor runs.
struct KernelTable {
    const Kernel* kernels;
    int count;
};

}  // namespace striate
