// The compiled kernels by name, at the best instruction set that this processor runs, or at a forced one.
#pragma once
#include <string>
#include <vector>

#include "core/kernel.h"

namespace striate {

// Instruction sets that were compiled in and that this machine runs, the best first.
std::vector<std::string> available_isas();
const std::string& current_isa();
// False if `name` is not available.
bool set_isa(const std::string& name);
// Null if there is no such kernel.
const Kernel* find_kernel(const std::string& name);
std::vector<std::string> kernel_names();

}  // namespace striate
