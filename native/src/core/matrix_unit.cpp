#include "core/matrix_unit.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace striate {
namespace {

#if defined(__x86_64__) && defined(__linux__)
bool asked() {
    constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;  // leaf 7, EDX
    constexpr long kRequest = 0x1023, kTileData = 18;        // ARCH_REQ_XCOMP_PERM, and the feature's number
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kBf16 | kTiles)) != (kBf16 | kTiles)) return false;
    return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}
#else
bool asked() { return false; }
#endif

}  // namespace

bool matrix_unit() {
    static const bool granted = asked();
    return granted;
}

}  // namespace striate
