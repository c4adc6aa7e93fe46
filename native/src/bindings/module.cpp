// The extension module striate.kernels._native.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "core/activation_list.h"
#include "core/arena.h"
#include "core/pool.h"
#include "kernels/elementwise/op_list.h"
#include "runtime/program.h"
#include "runtime/registry.h"

namespace nb = nanobind;

namespace striate {
namespace {

using Shape = std::vector<std::int64_t>;
using RawOperand = std::tuple<int, Shape, std::string>;
using RawStep = std::tuple<std::string, std::vector<RawOperand>, std::vector<RawOperand>, std::vector<std::int64_t>,
                           std::vector<double>>;
using Addresses = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void check_isa() {
    const std::string problem = isa_problem();
    if (!problem.empty()) throw nb::value_error(problem.c_str());
}

int kernel_number(const std::string& name) {
    check_isa();
    const int number = find_kernel(name);
    if (number < 0) throw nb::key_error(("there is no kernel '" + name + "'; see striate.kernels.names()").c_str());
    return number;
}

Tensor tensor_of(const std::string& kernel, const Shape& shape, DType dtype) {
    if (shape.size() > kMaxRank)
        throw nb::value_error(
            ("kernel '" + kernel + "': at most 8 axes, received " + std::to_string(shape.size())).c_str());
    Tensor t;
    t.dtype = dtype;
    t.rank = static_cast<int>(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] < 0) throw nb::value_error(("kernel '" + kernel + "': a size is negative").c_str());
        t.shape[i] = shape[i];
    }
    return t;
}

std::vector<Operand> operands_of(const std::string& kernel, const std::vector<RawOperand>& raw) {
    std::vector<Operand> made;
    for (const auto& [slot, shape, dtype] : raw) {
        Operand o;
        o.slot = slot;
        o.tensor = tensor_of(kernel, shape, parse_dtype(dtype));
        made.push_back(o);
    }
    return made;
}

// What a kernel reads must be there before it runs: kernels themselves check nothing.
void check_step(const std::string& name, const ProgramStep& s) {
    Step step;
    std::vector<Tensor> in, out;
    for (const auto& o : s.in) in.push_back(o.tensor);
    for (const auto& o : s.out) out.push_back(o.tensor);
    step.in = in.data();
    step.n_in = static_cast<int>(in.size());
    step.out = out.data();
    step.n_out = static_cast<int>(out.size());
    step.ints = s.ints.data();
    step.n_ints = static_cast<int>(s.ints.size());
    step.floats = s.floats.data();
    step.n_floats = static_cast<int>(s.floats.size());
    const Kernel& kernel = kernel_at(s.kernel, isa_level());
    const char* problem = kernel.check ? kernel.check(step) : nullptr;
    if (problem) throw nb::value_error(("kernel '" + name + "': " + problem).c_str());
}

void init_program(Program* self, const std::vector<RawStep>& raw, int n_slots) {
    std::vector<ProgramStep> steps;
    for (const auto& [name, in, out, ints, floats] : raw) {
        ProgramStep s;
        s.kernel = kernel_number(name);
        s.in = operands_of(name, in);
        s.out = operands_of(name, out);
        s.ints = ints;
        s.floats = floats;
        check_step(name, s);
        steps.push_back(std::move(s));
    }
    new (self) Program(std::move(steps), n_slots);
}

using Slots = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::int64_t& slot_of(Slots& addresses, std::int64_t slot) {
    if (slot < 0 || static_cast<std::size_t>(slot) >= addresses.shape(0))
        throw nb::index_error(("there is no slot " + std::to_string(slot)).c_str());
    return addresses.data()[slot];
}

// Writes where the arrays of a dict by slots lie. They must be dense; asked one by one, NumPy takes 20 times as long.
void place_arrays(Slots addresses, nb::dict arrays) {
    PyObject *key, *array;
    for (Py_ssize_t at = 0; PyDict_Next(arrays.ptr(), &at, &key, &array);) {
        Py_buffer view;
        if (PyObject_GetBuffer(array, &view, PyBUF_SIMPLE) != 0) throw nb::python_error();
        const auto address = reinterpret_cast<std::int64_t>(view.buf);
        PyBuffer_Release(&view);
        const std::int64_t slot = PyLong_AsLongLong(key);
        if (PyErr_Occurred()) throw nb::python_error();
        slot_of(addresses, slot) = address;
    }
}

// Writes the addresses of buffers that lie `offsets` behind `base`.
void place_buffers(Slots addresses, Addresses slots, Addresses offsets, std::int64_t base) {
    for (std::size_t i = 0; i < std::min(slots.shape(0), offsets.shape(0)); ++i)
        slot_of(addresses, slots.data()[i]) = base + offsets.data()[i];
}

using Clock = std::chrono::steady_clock;

// Between steps of a long run: whether a signal handler of Python's raised (Ctrl-C). Python is asked rarely, as that
// takes the GIL.
thread_local Clock::time_point asked;

bool interrupted() {
    const auto now = Clock::now();
    if (now - asked < std::chrono::milliseconds(50)) return false;
    asked = now;
    nb::gil_scoped_acquire acquire;
    return PyErr_CheckSignals() != 0;
}

void check_run(const Program& program, const Addresses& addresses, int begin, int& end) {
    if (end < 0) end = program.size();
    if (begin < 0 || begin > end || end > program.size())
        throw nb::index_error(("steps [" + std::to_string(begin) + ", " + std::to_string(end) +
                               ") are not in a program of " + std::to_string(program.size()))
                                  .c_str());
    if (addresses.shape(0) < static_cast<std::size_t>(program.slots()))
        throw nb::value_error(("expected one address for each of " + std::to_string(program.slots()) +
                               " slots, received " + std::to_string(addresses.shape(0)))
                                  .c_str());
    const int missing = program.missing_slot(begin, end, addresses.data());
    if (missing >= 0) throw nb::value_error(("slot " + std::to_string(missing) + " has no address").c_str());
}

void run_steps(const Program& program, const Addresses& addresses, int begin, int end, std::int64_t* nanoseconds) {
    bool stopped;
    asked = Clock::now();
    {
        nb::gil_scoped_release release;
        stopped = program.run(begin, end, addresses.data(), &interrupted, nanoseconds);
    }
    if (stopped) throw nb::python_error();
}

void run_program(const Program& program, Addresses addresses, int begin, int end) {
    check_run(program, addresses, begin, end);
    run_steps(program, addresses, begin, end, nullptr);
}

// As `run`; says how many nanoseconds each step took.
std::vector<std::int64_t> run_timed(const Program& program, Addresses addresses, int begin, int end) {
    check_run(program, addresses, begin, end);
    std::vector<std::int64_t> nanoseconds(static_cast<std::size_t>(end - begin));
    run_steps(program, addresses, begin, end, nanoseconds.data());
    return nanoseconds;
}

using RawArray = std::tuple<std::int64_t, Shape, std::string>;  // address, shape, dtype

// One kernel at once, without a program. The caller (striate.kernels.run) sees to it that arrays are dense and stay
// alive.
void run_kernel(const std::string& name, const std::vector<RawArray>& in, const std::vector<RawArray>& out,
                const std::vector<std::int64_t>& ints, const std::vector<double>& floats) {
    ProgramStep s;
    s.kernel = kernel_number(name);
    std::vector<std::int64_t> addresses;
    const auto add = [&](std::vector<Operand>& to, const RawArray& raw) {
        Operand o;
        o.slot = static_cast<int>(addresses.size());
        o.tensor = tensor_of(name, std::get<1>(raw), parse_dtype(std::get<2>(raw)));
        addresses.push_back(std::get<0>(raw));
        to.push_back(o);
    };
    for (const auto& raw : in) add(s.in, raw);
    for (const auto& raw : out) add(s.out, raw);
    s.ints = ints;
    s.floats = floats;
    check_step(name, s);
    const Program program({s}, static_cast<int>(addresses.size()));
    if (program.missing_slot(0, 1, addresses.data()) >= 0)
        throw nb::value_error(("kernel '" + name + "': an address is 0").c_str());
    nb::gil_scoped_release release;
    program.run(0, 1, addresses.data());
}

// Memory from the pool. Views keep it alive.
struct Arena {
    std::shared_ptr<Block> block;
    std::size_t nbytes;
};

nb::capsule keeper_of(std::shared_ptr<Block> block) {
    return {new std::shared_ptr<Block>(std::move(block)),
            [](void* p) noexcept { delete static_cast<std::shared_ptr<Block>*>(p); }};
}

nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>> arena_view(const Arena& arena) {
    return {arena.block->data, {arena.nbytes}, keeper_of(arena.block)};
}

nb::dlpack::dtype array_dtype(DType dtype) {
    switch (dtype) {
        case DType::f32:
            return nb::dtype<float>();
        case DType::f64:
            return nb::dtype<double>();
        case DType::i32:
            return nb::dtype<std::int32_t>();
        case DType::i64:
            return nb::dtype<std::int64_t>();
        case DType::u8:
            return nb::dtype<std::uint8_t>();
        case DType::b8:
            return nb::dtype<bool>();
    }
    return {};
}

// An array that owns a block: its views refer to it, as to any array that owns its memory.
nb::ndarray<nb::numpy> result_array(const std::vector<std::size_t>& shape, const std::string& name) {
    const DType dtype = parse_dtype(name);
    std::size_t nbytes = dtype_size(dtype);
    for (const std::size_t n : shape) nbytes *= n;
    auto block = acquire_block(nbytes, Use::result);
    void* data = block->data;
    return {data, shape.size(), shape.data(), keeper_of(std::move(block)), nullptr, array_dtype(dtype)};
}

nb::dict activation_ids() {
    nb::dict ids;
    int next = 0;
#define STRIATE_ACTIVATION_ENTRY(name, ...) ids[#name] = next++;
    STRIATE_ACTIVATIONS(STRIATE_ACTIVATION_ENTRY)
#undef STRIATE_ACTIVATION_ENTRY
    return ids;
}

// The operations of the kernel `elementwise`, activations included.
nb::dict elementwise_ops() {
    nb::dict codes;
    int next = 0;
#define STRIATE_OP_ENTRY(name, ...) codes[#name] = next++;
    STRIATE_ELEMENTWISE(STRIATE_OP_ENTRY)
    STRIATE_ACTIVATIONS(STRIATE_OP_ENTRY)
#undef STRIATE_OP_ENTRY
    return codes;
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (int i = 0; i < kernel_count(); ++i) names.emplace_back(kernel_at(i, 0).name);
    return names;
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < isa_names().size(); ++i)
        if (isa_supported(static_cast<int>(i))) names.push_back(isa_names()[i]);
    return names;
}

void set_isa(const std::string& name) {
    for (std::size_t i = 0; i < isa_names().size(); ++i)
        if (isa_names()[i] == name && isa_supported(static_cast<int>(i))) return set_isa_level(static_cast<int>(i));
    throw nb::value_error(
        ("'" + name + "' is not an instruction set that this machine runs. Use one of " + supported_isas()).c_str());
}

}  // namespace

NB_MODULE(_native, m) {
    m.def("isa", [] {
        check_isa();
        return isa_names()[static_cast<std::size_t>(isa_level())];
    });
    m.def("available_isas", &available_isas);
    m.def("set_isa", &set_isa);
    m.def("set_num_threads", [](int n) {
        if (n < 1 || n > 4096) throw nb::value_error("expected 1 to 4096 threads");
        set_threads(n);
    });
    m.def("get_num_threads", &get_threads);
    m.def("kernels", &kernel_names);
    m.def("activation_ids", &activation_ids);
    m.def("elementwise_ops", &elementwise_ops);
    m.def("run_kernel", &run_kernel);
    m.def("result_array", &result_array);
    m.def("idle_bytes", &idle_bytes);
    m.def("set_idle_bound", &set_idle_bound);
    m.def("release_idle", &release_idle);
    m.def("place_arrays", &place_arrays);
    m.def("place_buffers", &place_buffers);
    nb::class_<Arena>(m, "Arena")
        .def("__init__", [](Arena* self, std::size_t nbytes) { new (self) Arena{acquire_block(nbytes), nbytes}; })
        .def_prop_ro("address", [](const Arena& a) { return reinterpret_cast<std::int64_t>(a.block->data); })
        .def_prop_ro("nbytes", [](const Arena& a) { return a.nbytes; })
        .def_prop_ro("view", &arena_view, nb::rv_policy::reference);
    nb::class_<Program>(m, "Program")
        .def("__init__", &init_program, nb::arg("steps"), nb::arg("n_slots"))
        .def("run", &run_program, nb::arg("addresses"), nb::arg("begin") = 0, nb::arg("end") = -1)
        .def("run_timed", &run_timed, nb::arg("addresses"), nb::arg("begin") = 0, nb::arg("end") = -1)
        .def("scratch_bytes", [](const Program& p) { return p.scratch_bytes(); })
        .def("__len__", &Program::size);
}

}  // namespace striate
