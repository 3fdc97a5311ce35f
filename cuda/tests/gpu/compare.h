// What a kernel gives against what the CPU gives.
#pragma once

#include <cmath>
#include <cstdio>
#include <vector>

#include "../check.h"

namespace recon {

// Largest difference over the largest magnitude. Both round differently in exp2 and log2.
inline void compare(const char* what, const std::vector<float>& found, const std::vector<float>& wanted, double tolerance) {
    double largest = 1e-6, worst = 0;
    for (float x : wanted) largest = std::fmax(largest, std::fabs(x));
    for (size_t i = 0; i < found.size(); ++i) worst = std::fmax(worst, std::fabs(double(found[i]) - double(wanted[i])));
    check::near(what, int(found.size()), worst / largest, 0, tolerance);
    if (!(worst / largest <= tolerance)) std::printf("  largest %g\n", largest);
}

}  // namespace recon
