// Random primitives of any family for the native tests.
#pragma once

#include <random>
#include <vector>

#include "cpu/kernels.h"

namespace recon {

// Parameters of the scale that each family expects: places around the origin, logarithms of small sizes, logits.
inline std::vector<std::vector<float>> parameters_of(const FamilyKernels<float>& family, size_t n, int points, std::mt19937& random) {
    std::normal_distribution<float> normal;
    std::vector<std::vector<float>> all;
    for (int k = 0; k < family.parameters; ++k) {
        const size_t width = size_t(k == 0 && points ? 3 * points : family.widths[k]);
        std::vector<float> v(n * width);
        const bool places = k == 0, quats = width == 4, hull = points > 3 && k > 0;
        for (size_t i = 0; i < n; ++i) {
            const float center[3] = {0.8f * normal(random), 0.8f * normal(random), 0.8f * normal(random)};
            for (size_t c = 0; c < width; ++c) {
                float& x = v[i * width + c];
                x = normal(random);
                if (places) x = center[c % 3] + (width > 3 ? 0.2f : 0.0f) * x;
                else if (!quats) x = (hull && k < 3 ? -3.5f : width == 1 ? 0.5f : -2.5f) + 0.7f * x;
            }
        }
        all.push_back(v);
    }
    return all;
}

}  // namespace recon
