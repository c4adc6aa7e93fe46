#include "core/registry.h"

#include <algorithm>
#include <unordered_map>

#include "kernels/tables.h"
#include "striate_isas.h"  // made by the build: the instruction sets that were compiled

namespace striate {

// Each set's kernel files define the tables that kernels/tables.h names, in the set's own namespace.
#define STRIATE_DECLARE_TABLE(table) extern const KernelTable table;
#define STRIATE_TABLE_POINTER(table) &table,
#define STRIATE_DEFINE_SET(isa)                                                                    \
    namespace isa {                                                                                \
    STRIATE_KERNEL_TABLES(STRIATE_DECLARE_TABLE)                                                   \
    static const KernelTable* const all_tables[] = {STRIATE_KERNEL_TABLES(STRIATE_TABLE_POINTER)}; \
    }
STRIATE_ISAS(STRIATE_DEFINE_SET)

namespace {

using Table = std::unordered_map<std::string, const Kernel*>;

struct Set {
    std::string name;
    Table kernels;
};

template <std::size_t N>
void add(std::vector<Set>& sets, const char* name, bool runs, const KernelTable* const (&tables)[N]) {
    if (!runs) return;
    Set set{name, {}};
    for (const KernelTable* table : tables)
        for (int i = 0; i < table->count; ++i) set.kernels[table->kernels[i].name] = &table->kernels[i];
    sets.push_back(std::move(set));
}

// Whether this processor, under this operating system, runs what was compiled for the set.
bool runs(const std::string& isa) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    if (isa == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    if (isa == "avx2")
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (isa == "v2") return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
#endif
    return isa == "neon" || isa == "base";
}

// The best first; the build lists them from the lowest on.
std::vector<Set> detect() {
    std::vector<Set> sets;
#define STRIATE_ADD_SET(isa) add(sets, #isa, runs(#isa), isa::all_tables);
    STRIATE_ISAS(STRIATE_ADD_SET)
    std::reverse(sets.begin(), sets.end());
    return sets;
}

const std::vector<Set>& sets() {
    static const std::vector<Set> found = detect();
    return found;
}

std::size_t g_current = 0;

}  // namespace

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Set& set : sets()) names.push_back(set.name);
    return names;
}

const std::string& current_isa() { return sets()[g_current].name; }

bool set_isa(const std::string& name) {
    for (std::size_t i = 0; i < sets().size(); ++i) {
        if (sets()[i].name == name) {
            g_current = i;
            return true;
        }
    }
    return false;
}

const Kernel* find_kernel(const std::string& name) {
    const Table& table = sets()[g_current].kernels;
    const auto found = table.find(name);
    return found == table.end() ? nullptr : found->second;
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const auto& [name, kernel] : sets()[g_current].kernels) names.push_back(name);
    return names;
}

}  // namespace striate
