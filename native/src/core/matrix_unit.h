// Whether this process may use the processor's matrix unit for bfloat16 (AMX).
#pragma once

namespace striate {

// Asked for once: the system gives a process room for the unit's registers only on request.
bool matrix_unit();

}  // namespace striate
