#include "runtime/registry.h"

#include <atomic>
#include <cstdlib>
#include <unordered_map>

#include "core/matrix_unit.h"
#include "kernels/tables.h"
#include "striate_isas.h"

namespace striate {

#define STRIATE_DECLARE_TABLE(name) extern const KernelTable name##_table;
#define STRIATE_DECLARE_ISA(isa)                 \
    namespace isa {                              \
    STRIATE_KERNEL_TABLES(STRIATE_DECLARE_TABLE) \
    }
STRIATE_ISAS(STRIATE_DECLARE_ISA)
#ifdef STRIATE_HAS_AMX
namespace amx {
STRIATE_UNIT_TABLES(STRIATE_DECLARE_TABLE)
}
#endif

namespace {

using Kernels = std::vector<const Kernel*>;

// NOLINTBEGIN: the tables of each instruction set are joined in the order of tables.h.
#define STRIATE_ADD_TABLE(name) \
    for (int i = 0; i < name##_table.count; ++i) all.push_back(&name##_table.kernels[i]);
#define STRIATE_JOIN_TABLES(isa_name)            \
    {                                            \
        using namespace isa_name;                \
        Kernels all;                             \
        STRIATE_KERNEL_TABLES(STRIATE_ADD_TABLE) \
        levels.push_back(std::move(all));        \
    }
// NOLINTEND

#ifdef STRIATE_HAS_AMX
// The kernels of the level before, with those of the same names that use the unit in their places.
Kernels with_unit(Kernels all) {
    using namespace amx;
    const auto put = [&](const Kernel& kernel) {
        for (const Kernel*& at : all)
            if (std::string_view(at->name) == kernel.name) at = &kernel;
    };
#define STRIATE_PUT_TABLE(name) \
    for (int i = 0; i < name##_table.count; ++i) put(name##_table.kernels[i]);
    STRIATE_UNIT_TABLES(STRIATE_PUT_TABLE)
    return all;
}
#endif

const std::vector<Kernels>& all_levels() {
    static const std::vector<Kernels> made = [] {
        std::vector<Kernels> levels;
        STRIATE_ISAS(STRIATE_JOIN_TABLES)
#ifdef STRIATE_HAS_AMX
        levels.push_back(with_unit(levels.back()));
#endif
        return levels;
    }();
    return made;
}

bool runs(std::string_view isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    // libgcc and compiler-rt report AVX and AVX-512 only where the operating system saves those registers.
    if (isa == "v2") return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (isa == "avx2") return avx2;
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    return isa == "amx" ? avx512 && matrix_unit() : avx512;
#else
    (void)isa;
    return true;
#endif
}

int best_level() {
    int level = static_cast<int>(isa_names().size()) - 1;
    while (level > 0 && !isa_supported(level)) --level;
    return level;
}

int first_level() {
    const char* forced = std::getenv("STRIATE_ISA");
    if (!forced || !*forced) return best_level();
    for (std::size_t i = 0; i < isa_names().size(); ++i)
        if (isa_names()[i] == forced) return isa_supported(static_cast<int>(i)) ? static_cast<int>(i) : -1;
    return -1;
}

std::atomic<int>& level_in_force() {
    static std::atomic<int> level{first_level()};
    return level;
}

}  // namespace

const std::vector<std::string>& isa_names() {
#define STRIATE_ISA_NAME(isa) #isa,
    static const std::vector<std::string> names = {STRIATE_ISAS(STRIATE_ISA_NAME)
#ifdef STRIATE_HAS_AMX
                                                       "amx"
#endif
    };
    return names;
}

bool isa_supported(int level) { return runs(isa_names()[static_cast<std::size_t>(level)]); }
int isa_level() { return level_in_force().load(std::memory_order_relaxed); }
void set_isa_level(int level) { level_in_force().store(level); }

std::string supported_isas() {
    std::string text;
    for (std::size_t i = 0; i < isa_names().size(); ++i)
        if (isa_supported(static_cast<int>(i))) text += (text.empty() ? "" : ", ") + isa_names()[i];
    return text;
}

std::string isa_problem() {
    if (isa_level() >= 0) return {};
    const char* forced = std::getenv("STRIATE_ISA");
    return "STRIATE_ISA='" + std::string(forced ? forced : "") +
           "' is not an instruction set that this machine runs. Use one of " + supported_isas() + ", or unset it.";
}

int kernel_count() { return static_cast<int>(all_levels()[0].size()); }

int find_kernel(std::string_view name) {
    static const std::unordered_map<std::string_view, int> numbers = [] {
        std::unordered_map<std::string_view, int> made;
        for (int i = 0; i < kernel_count(); ++i) made.emplace(all_levels()[0][static_cast<std::size_t>(i)]->name, i);
        return made;
    }();
    const auto found = numbers.find(name);
    return found == numbers.end() ? -1 : found->second;
}

const Kernel& kernel_at(int number, int level) {
    return *all_levels()[static_cast<std::size_t>(level)][static_cast<std::size_t>(number)];
}

}  // namespace striate
