// Adam (Kingma & Ba 2015): a thread owns one number, so that a warp reads and writes neighbours.
#pragma once

#include "gpu/simt.h"
#include "recon/training_args.h"

namespace recon::gpu {

constexpr int kAdamThreads = 256;

RECON_KERNEL adam_kernel(AdamArgs<float> a) {
    const int64_t i = int64_t(blockIdx.x) * kAdamThreads + threadIdx.x;
    if (i >= a.rows * a.columns) return;
    // Division of 64 bits is slow on a GPU and hardly ever needed.
    const int64_t row = i <= 0xffffffff ? int64_t(uint32_t(i) / uint32_t(a.columns)) : i / a.columns;
    if (a.visible && !a.visible[row]) return;
    const float rate = i - row * a.columns < a.head ? a.head_rate : a.learning_rate, g = a.gradient[i];
    const float m = a.beta1 * a.exp_avg[i] + (1 - a.beta1) * g;
    const float v = a.beta2 * a.exp_avg_sq[i] + (1 - a.beta2) * g * g;
    a.exp_avg[i] = m;
    a.exp_avg_sq[i] = v;
    a.parameter[i] -= rate / a.correction1 * m / (sqrt(v / a.correction2) + a.epsilon);
}

inline void adam(const AdamArgs<float>& a, void* stream) {
    RECON_LAUNCH(adam_kernel, (a.rows * a.columns + kAdamThreads - 1) / kAdamThreads, kAdamThreads, stream, a);
}

}  // namespace recon::gpu
