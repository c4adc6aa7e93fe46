// Chains of elementwise operations over operands that broadcast: the program, where operands are read from, and the
// values of one block.
#pragma once
#include "core/kernel.h"
#include "core/thread_pool.h"
#include "kernels/elementwise/operand.h"
#include "kernels/elementwise/ops.h"

namespace striate {
namespace STRIATE_ISA_NS {

constexpr int kFields = 4;  // of an instruction: code, operands a, b, c
constexpr int kParams = 3;  // floats of an instruction
constexpr int kMaxInputs = 16, kMaxInstructions = 64;
constexpr int64_t kTileRoom = kBlock + kLanes;

inline int instructions(const Step& s) { return s.n_floats / kParams; }

struct Instruction {
    const Op* op;
    int operand[3];
    Activation params;
};

struct Chain {
    int n_in = 0, count = 0;
    Source sources[kMaxInputs];
    Instruction code[kMaxInstructions];
    int64_t size = 0;
};

inline int64_t registers_bytes(const Step& s) {
    return (s.n_in + instructions(s)) * kBlock * static_cast<int64_t>(sizeof(float));
}

// The values of all threads and the rows that repeat. `full`: of the shape to which all operands broadcast.
inline std::size_t chain_bytes(const Step& s, const Tensor& full, int threads) {
    int64_t total = threads * registers_bytes(s);
    for (int i = 0; i < s.n_in; ++i) {
        const Source source = plan_source(s.in[i], full);
        if (source.reading == Reading::row) total += (source.row + kTileRoom) * static_cast<int64_t>(sizeof(float));
    }
    return static_cast<std::size_t>(total);
}

inline void read_code(const Step& s, Chain& chain) {
    chain.count = instructions(s);
    for (int i = 0; i < chain.count; ++i) {
        Instruction& in = chain.code[i];
        in.op = &kOps[s.ints[i * kFields]];
        for (int k = 0; k < 3; ++k) in.operand[k] = static_cast<int>(s.ints[i * kFields + 1 + k]);
        const double* p = s.floats + i * kParams;
        in.params = {0, static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2])};
    }
}

// Rows that repeat are written out once more than a block is long: then any block of them is one piece.
inline void read_sources(const Step& s, const Tensor& full, Chain& chain, float* tiles) {
    chain.n_in = s.n_in;
    for (int i = 0; i < s.n_in; ++i) {
        Source& source = chain.sources[i];
        source = plan_source(s.in[i], full);
        if (source.reading != Reading::row) continue;
        fetch(source, 0, tiles, std::min(source.row + kTileRoom, chain.size));
        source.tiled = tiles;
        tiles += source.row + kTileRoom;
    }
}

// The values of one thread: a block for each operand and each result; constants and scalars are written once per task.
struct Registers {
    const Chain& chain;
    float* memory;
    const float* value[kMaxInputs + kMaxInstructions];
    float* result[kMaxInstructions];  // where each instruction writes

    Registers(const Chain& c, float* m) : chain(c), memory(m) {
        for (int i = 0; i < c.n_in; ++i)
            if (c.sources[i].reading == Reading::scalar) {
                fill(block(i), value_at(c.sources[i], 0), kBlock);
                value[i] = block(i);
            }
        for (int i = 0; i < c.count; ++i) {
            write_to(i, block(c.n_in + i));
            if (is_constant(i)) c.code[i].op->run(block(c.n_in + i), value, kBlock, c.code[i].params);
        }
    }

    float* block(int i) const { return memory + i * kBlock; }
    void write_to(int instruction, float* to) {
        result[instruction] = to;
        value[chain.n_in + instruction] = to;
    }
    bool is_constant(int i) const { return chain.code[i].op == &kOps[kConstantOp]; }

    void read(int64_t start, int64_t n) {
        for (int i = 0; i < chain.n_in; ++i) {
            const Source& s = chain.sources[i];
            if (s.reading == Reading::scalar) continue;
            if (s.reading == Reading::row) {
                value[i] = s.tiled + start % s.row;
            } else if (s.reading == Reading::same && n % kLanes == 0) {
                value[i] = static_cast<const float*>(s.data) + start;
            } else {
                fetch(s, start, block(i), n);
                value[i] = block(i);
            }
        }
    }

    // Runs the chain on n values; the last result goes straight to `out` if that is given.
    const float* compute(int64_t n, float* out) const {
        const int64_t padded = (n + kLanes - 1) / kLanes * kLanes;
        float* to = nullptr;
        for (int i = 0; i < chain.count; ++i) {
            const Instruction& in = chain.code[i];
            to = i + 1 == chain.count && out ? out : result[i];
            if (is_constant(i) && to != out) continue;
            const float* operands[3];
            for (int k = 0; k < in.op->arity; ++k) operands[k] = value[in.operand[k]];
            in.op->run(to, operands, padded, in.params);
        }
        return to;
    }
};

// The chain of a step over `full`, with its rows in `memory` behind the values of all threads.
inline void read_chain(const Step& s, const Tensor& full, Chain& chain, char* memory) {
    chain.size = full.size();
    read_code(s, chain);
    read_sources(s, full, chain, reinterpret_cast<float*>(memory + s.pool->threads() * registers_bytes(s)));
}

inline bool broadcasts(const Tensor& x, const Tensor& out) {
    if (x.rank > out.rank) return false;
    for (int i = 1; i <= x.rank; ++i) {
        const int64_t n = x.shape[x.rank - i];
        if (n != 1 && n != out.shape[out.rank - i]) return false;
    }
    return true;
}

inline const char* check_chain(const Step& s, const Tensor& full) {
    const int count = instructions(s);
    if (s.n_out < 1 || s.n_in > kMaxInputs) return "expected an output and at most 16 inputs";
    const bool whole = s.n_ints == count * kFields + s.n_out - 1 && s.n_floats == count * kParams;
    if (count < 1 || count > kMaxInstructions || !whole)
        return "expected 1 to 64 instructions, each with 4 ints and 3 floats, and the exits";
    for (int i = 0; i < s.n_in; ++i) {
        const bool value = s.in[i].dtype == DType::f32 || s.in[i].dtype == DType::b8;
        if (!value || !broadcasts(s.in[i], full)) return "inputs must be float32 or bool and broadcast to the output";
    }
    for (int i = 0; i < count; ++i) {
        const int64_t code = s.ints[i * kFields];
        if (code < 0 || code >= kOpCount) return "unknown operation";
        for (int k = 0; k < kOps[code].arity; ++k) {
            const int64_t from = s.ints[i * kFields + 1 + k];
            if (from < 0 || from >= s.n_in + i) return "an operand must be an input or an earlier result";
        }
    }
    return nullptr;
}

}  // namespace STRIATE_ISA_NS
}  // namespace striate
