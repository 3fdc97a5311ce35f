// The little that native tests need: a tolerance check that prints both operands, and the tally that CTest reads.
#pragma once

#include <cmath>
#include <cstdio>

namespace check {

inline int& passed() {
    static int count = 0;
    return count;
}
inline int& failed() {
    static int count = 0;
    return count;
}

// |found - wanted| <= tolerance * max(1, |wanted|)
inline void near(const char* what, int index, double found, double wanted, double tolerance) {
    const double scale = std::fabs(wanted) > 1 ? std::fabs(wanted) : 1;
    if (std::fabs(found - wanted) <= tolerance * scale) {
        ++passed();
        return;
    }
    ++failed();
    std::printf("%s [%d]: found %.17g, wanted %.17g, tolerance %g\n", what, index, found, wanted, tolerance);
}
inline void is_true(const char* what, int index, bool value) { near(what, index, value ? 1 : 0, 1, 0); }

inline int summary() {
    std::printf("%d passed, %d failed\n", passed(), failed());
    return failed() == 0 ? 0 : 1;
}

}  // namespace check
