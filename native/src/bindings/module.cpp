// The extension module: kernels, programs, memory and threads for striate.kernels.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <tuple>

#include "core/activation_list.h"
#include "core/arena.h"
#include "core/pool.h"
#include "core/program.h"
#include "core/registry.h"

namespace nb = nanobind;
using namespace striate;

namespace {

// (slot, shape, dtype name)
using PyOperand = std::tuple<int, std::vector<std::int64_t>, std::string>;
using PyStep = std::tuple<std::string, std::vector<PyOperand>, std::vector<PyOperand>, std::vector<std::int64_t>,
                          std::vector<double>>;
using Addresses = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

const std::map<std::string, DType>& dtypes() {
    static const std::map<std::string, DType> names = {{"float32", DType::f32}, {"float64", DType::f64},
                                                       {"int32", DType::i32},   {"int64", DType::i64},
                                                       {"uint8", DType::u8},    {"bool", DType::b8}};
    return names;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

Operand operand(const PyOperand& given, int n_slots, const std::string& kernel) {
    const auto& [slot, shape, dtype] = given;
    if (slot < 0 || slot >= n_slots)
        throw nb::value_error(("step '" + kernel + "' uses slot " + std::to_string(slot) + " of " + std::to_string(n_slots)).c_str());
    if (shape.size() > kMaxRank) throw nb::value_error(("step '" + kernel + "' has a tensor of more than 8 axes").c_str());
    const auto found = dtypes().find(dtype);
    if (found == dtypes().end()) throw nb::value_error(("step '" + kernel + "': kernels don't know dtype " + dtype).c_str());
    Operand made;
    made.slot = slot;
    made.tensor.dtype = found->second;
    made.tensor.rank = static_cast<int>(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] < 0) throw nb::value_error(("step '" + kernel + "' has a negative size").c_str());
        made.tensor.shape[i] = shape[i];
    }
    return made;
}

ProgramStep step(const PyStep& given, int n_slots) {
    const auto& [name, inputs, outputs, ints, floats] = given;
    const Kernel* kernel = find_kernel(name);
    if (!kernel) throw nb::key_error(("there is no kernel '" + name + "'; known: " + joined(kernel_names())).c_str());
    ProgramStep made{name, kernel->run, kernel->scratch_bytes, {}, {}, ints, floats};
    for (const auto& o : inputs) made.in.push_back(operand(o, n_slots, name));
    for (const auto& o : outputs) made.out.push_back(operand(o, n_slots, name));
    return made;
}

class PyProgram {
public:
    PyProgram(const std::vector<PyStep>& steps, int n_slots) : n_slots_(n_slots), program_(made(steps, n_slots)) {}

    void run(const Addresses& pointers) const {
        if (pointers.shape(0) < static_cast<std::size_t>(n_slots_))
            throw nb::value_error("a program needs the address of each of its slots");
        const std::int64_t* data = pointers.data();
        nb::gil_scoped_release release;
        program_.run(data);
    }

private:
    static std::vector<ProgramStep> made(const std::vector<PyStep>& steps, int n_slots) {
        std::vector<ProgramStep> all;
        for (const auto& s : steps) all.push_back(step(s, n_slots));
        return all;
    }

    int n_slots_;
    Program program_;
};

void choose_isa(const std::string& name) {
    if (!set_isa(name))
        throw nb::value_error(
            ("instruction set '" + name + "' is not available here; choose one of: " + joined(available_isas())).c_str());
}

std::vector<std::string> activation_names() {
#define STRIATE_ACTIVATION_NAME(name) #name,
    return {STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_NAME)};
#undef STRIATE_ACTIVATION_NAME
}

}  // namespace

NB_MODULE(_native, m) {
    nb::class_<PyProgram>(m, "Program")
        .def(nb::init<const std::vector<PyStep>&, int>())
        .def("run", &PyProgram::run);
    nb::class_<Block>(m, "Block")
        .def(nb::init<std::size_t>())
        .def_prop_ro("address", [](const Block& b) { return reinterpret_cast<std::intptr_t>(b.data()); })
        .def_prop_ro("nbytes", &Block::size)
        .def("view", [](nb::object self) {
            const Block& b = nb::cast<const Block&>(self);
            return nb::ndarray<nb::numpy, std::uint8_t>(b.data(), {b.size()}, self);
        });
    m.def("release_memory", &release_memory);
    m.def("idle_bytes", &idle_bytes);
    m.def("kernels", &kernel_names);
    m.def("activations", &activation_names);
    m.def("isa", [] { return current_isa(); });
    m.def("available_isas", &available_isas);
    m.def("set_isa", &choose_isa);
    m.def("set_threads", &set_threads);
    m.def("get_threads", &get_threads);
}
