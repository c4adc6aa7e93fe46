// The kernels by name and instruction set, and the set in force.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel.h"

namespace striate {

// Instruction sets that this build holds, from the lowest to the highest; a level is an index into it.
const std::vector<std::string>& isa_names();
bool isa_supported(int level);
// The level in force: what STRIATE_ISA names, else the highest that this processor runs. -1 where STRIATE_ISA names
// one that it can't be.
int isa_level();
void set_isa_level(int level);
// What is wrong with STRIATE_ISA, or empty.
std::string isa_problem();
std::string supported_isas();

// Kernels have one number for all levels.
int kernel_count();
int find_kernel(std::string_view name);  // -1: there is none
const Kernel& kernel_at(int number, int level);

}  // namespace striate
