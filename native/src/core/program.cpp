#include "core/program.h"

#include <algorithm>

#include "core/arena.h"
#include "core/denormals.h"
#include "core/pool.h"

namespace striate {
namespace {

// A step's tensors as the kernel sees them, without data.
Step bare(const ProgramStep& step, std::vector<Tensor>& tensors) {
    tensors.clear();
    for (const Operand& o : step.in) tensors.push_back(o.tensor);
    for (const Operand& o : step.out) tensors.push_back(o.tensor);
    Step s;
    s.in = tensors.data();
    s.n_in = static_cast<int>(step.in.size());
    s.out = tensors.data() + step.in.size();
    s.n_out = static_cast<int>(step.out.size());
    s.ints = step.ints.data();
    s.n_ints = static_cast<int>(step.ints.size());
    s.floats = step.floats.data();
    s.n_floats = static_cast<int>(step.floats.size());
    return s;
}

}  // namespace

std::size_t Program::scratch_bytes(int threads) const {
    std::size_t most = 0;
    std::vector<Tensor> tensors;
    for (const ProgramStep& step : steps_)
        if (step.scratch) most = std::max(most, step.scratch(bare(step, tensors), threads));
    return most;
}

void Program::run(const std::int64_t* pointers) const {
    const std::shared_ptr<ThreadPool> threads = pool();
    const Block scratch(scratch_bytes(threads->threads()));
    const FlushDenormals flush;
    std::vector<Tensor> tensors;
    for (const ProgramStep& step : steps_) {
        Step s = bare(step, tensors);
        std::size_t i = 0;
        for (const Operand& o : step.in) tensors[i++].data = reinterpret_cast<void*>(pointers[o.slot]);
        for (const Operand& o : step.out) tensors[i++].data = reinterpret_cast<void*>(pointers[o.slot]);
        s.scratch = scratch.data();
        s.pool = threads.get();
        step.run(s);
    }
}

}  // namespace striate
