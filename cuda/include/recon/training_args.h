// What the loss and the optimiser are called with, on the CPU and on a GPU. All memory is the caller's.
#pragma once

#include <cstdint>

namespace recon {

template <class Real>
struct ImageLossArgs {
    int channels = 0, height = 0, width = 0;
    Real ssim_weight = 0;
    const Real* image = nullptr;    // [C, H, W]
    const Real* target = nullptr;   // [C, H, W]
    const Real* weight = nullptr;   // [H, W] or null for 1
    Real* v_image = nullptr;        // [C, H, W] or null: gradient of the loss
    Real* scratch = nullptr;        // [3, C, H, W] when v_image is wanted
    Real* rows = nullptr;           // [C, H, 3]: per row sums of weight, weighted |a - b|, weighted SSIM
};

template <class Real>
struct AdamArgs {
    int64_t rows = 0, columns = 0;
    Real learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0;
    Real correction1 = 1, correction2 = 1;  // 1 - beta^step
    int64_t head = 0;                       // the first columns of every row, which have
    Real head_rate = 0;                     // a learning rate of their own
    Real* parameter = nullptr;              // [rows, columns]
    const Real* gradient = nullptr;
    Real* exp_avg = nullptr;
    Real* exp_avg_sq = nullptr;
    const uint8_t* visible = nullptr;       // [rows] or null: rows to update
};

}  // namespace recon
