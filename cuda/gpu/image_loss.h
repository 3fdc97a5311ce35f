// The fused photometric loss, see cpu/image_loss.h: a block owns 16x16 pixels of one channel, a thread one of them.
// The window's sums go over rows first, from and to shared memory, then over columns. No result waits for the host.
#pragma once

#include "gpu/simt.h"
#include "recon/ssim.h"
#include "recon/training_args.h"

namespace recon::gpu {

constexpr int kLossSide = 16, kLossThreads = kLossSide * kLossSide, kLossWindow = kLossSide + 2 * kSsimRadius;
constexpr int kLossSums = 3;  // of the weights, the weighted |a - b| and the weighted SSIM

// Where a thread's pixel is.
struct LossPixel {
    int channel, left, top, x, y;
    bool inside;
    int64_t plane, offset;

    RECON_DEVICE explicit LossPixel(const ImageLossArgs<float>& a) {
        const int across = (a.width + kLossSide - 1) / kLossSide, down = (a.height + kLossSide - 1) / kLossSide;
        const int block = int(blockIdx.x), thread = int(threadIdx.x);
        channel = block / (across * down);
        left = block % across * kLossSide, top = block / across % down * kLossSide;
        x = left + thread % kLossSide, y = top + thread / kLossSide;
        inside = x < a.width && y < a.height;
        plane = int64_t(a.width) * a.height;
        offset = channel * plane + int64_t(y) * a.width + x;
    }
    // The pixel `place` of the block's window in a plane, 0 beyond the image.
    RECON_DEVICE float at(const ImageLossArgs<float>& a, const float* image, int place) const {
        const int wx = left + place % kLossWindow - kSsimRadius, wy = top + place / kLossWindow - kSsimRadius;
        const bool exists = wx >= 0 && wy >= 0 && wx < a.width && wy < a.height;
        return exists ? image[channel * plane + int64_t(wy) * a.width + wx] : 0.0f;
    }
};

// The window's rows, summed around every column of the block; then this thread's sum over those rows.
using LossRows = float[kLossWindow][kLossSide];

RECON_DEVICE float column_sum(const LossRows& rows) {
    const int x = int(threadIdx.x) % kLossSide, y = int(threadIdx.x) / kLossSide;
    float sum = 0;
    for (int i = -kSsimRadius; i <= kSsimRadius; ++i) sum += float(ssim_tap(i < 0 ? -i : i)) * rows[y + kSsimRadius + i][x];
    return sum;
}

RECON_KERNEL loss_kernel(ImageLossArgs<float> a, double* total) {
    RECON_SHARED float u[kLossWindow * kLossWindow], v[kLossWindow * kLossWindow];
    RECON_SHARED LossRows rows[5];  // of u, v, uu, vv and uv
    const LossPixel p(a);
    for (int k = int(threadIdx.x); k < kLossWindow * kLossWindow; k += kLossThreads)
        u[k] = p.at(a, a.image, k), v[k] = p.at(a, a.target, k);
    simt::sync_block();
    for (int k = int(threadIdx.x); k < kLossWindow * kLossSide; k += kLossThreads) {
        const int middle = k / kLossSide * kLossWindow + k % kLossSide + kSsimRadius;
        float sums[5] = {};
        for (int i = -kSsimRadius; i <= kSsimRadius; ++i) {
            const float tap = float(ssim_tap(i < 0 ? -i : i)), s = u[middle + i], t = v[middle + i];
            sums[0] += tap * s, sums[1] += tap * t, sums[2] += tap * s * s, sums[3] += tap * t * t, sums[4] += tap * s * t;
        }
        for (int m = 0; m < 5; ++m) rows[m][k / kLossSide][k % kLossSide] = sums[m];
    }
    simt::sync_block();
    float sums[kLossSums] = {};
    if (p.inside) {
        const Ssim<float> s =
            ssim_of(column_sum(rows[0]), column_sum(rows[1]), column_sum(rows[2]), column_sum(rows[3]), column_sum(rows[4]));
        const int64_t pixel = int64_t(p.y) * a.width + p.x, maps = int64_t(a.channels) * p.plane;
        const float weight = a.weight ? a.weight[pixel] : 1.0f;
        sums[0] = weight, sums[1] = weight * abs(a.image[p.offset] - a.target[p.offset]), sums[2] = weight * s.value;
        if (a.v_image) {
            a.scratch[p.offset] = weight * s.by_u;
            a.scratch[maps + p.offset] = weight * s.by_uu;
            a.scratch[2 * maps + p.offset] = weight * s.by_uv;
        }
    }
    for (int k = 0; k < kLossSums; ++k) {
        for (int offset = 16; offset; offset /= 2) sums[k] += simt::shuffle_xor(sums[k], offset);
        if (simt::lane() == 0) simt::add(total + k, double(sums[k]));
    }
}

// out: loss, weighted mean |a - b|, weighted mean SSIM.
RECON_KERNEL loss_value_kernel(float ssim_weight, const double* total, float* out) {
    if (threadIdx.x) return;
    const double weights = total[0] > 0 ? total[0] : 1, l1 = total[1] / weights, ssim = total[2] / weights, w = double(ssim_weight);
    out[0] = float((1 - w) * l1 + w * (1 - ssim)), out[1] = float(l1), out[2] = float(ssim);
}

// v_image = scale_l1 weight sign(u - v) + scale_ssim (G by_u + 2 u G by_uu + v G by_uv), G the filter.
RECON_KERNEL loss_gradient_kernel(ImageLossArgs<float> a, const double* total) {
    RECON_SHARED float window[3][kLossWindow * kLossWindow];
    RECON_SHARED LossRows rows[3];
    const LossPixel p(a);
    const int64_t maps = int64_t(a.channels) * p.plane;
    for (int k = int(threadIdx.x); k < kLossWindow * kLossWindow; k += kLossThreads)
        for (int m = 0; m < 3; ++m) window[m][k] = p.at(a, a.scratch + m * maps, k);
    simt::sync_block();
    for (int k = int(threadIdx.x); k < kLossWindow * kLossSide; k += kLossThreads) {
        const int middle = k / kLossSide * kLossWindow + k % kLossSide + kSsimRadius;
        float sums[3] = {};
        for (int i = -kSsimRadius; i <= kSsimRadius; ++i)
            for (int m = 0; m < 3; ++m) sums[m] += float(ssim_tap(i < 0 ? -i : i)) * window[m][middle + i];
        for (int m = 0; m < 3; ++m) rows[m][k / kLossSide][k % kLossSide] = sums[m];
    }
    simt::sync_block();
    if (!p.inside) return;
    const float scale = 1 / float(total[0] > 0 ? total[0] : 1);
    const float u = a.image[p.offset], v = a.target[p.offset], sign = float(u > v) - float(u < v);
    const float weight = a.weight ? a.weight[int64_t(p.y) * a.width + p.x] : 1.0f;
    const float back = column_sum(rows[0]) + 2 * u * column_sum(rows[1]) + v * column_sum(rows[2]);
    a.v_image[p.offset] = scale * ((1 - a.ssim_weight) * weight * sign - a.ssim_weight * back);
}

// total: kLossSums numbers of scratch.   out: 3 numbers, on the device.
inline void image_loss(const ImageLossArgs<float>& a, double* total, float* out, void* stream) {
    const int64_t across = (a.width + kLossSide - 1) / kLossSide, down = (a.height + kLossSide - 1) / kLossSide;
    const int64_t blocks = across * down * a.channels;
    simt::fill_bytes(total, 0, kLossSums * sizeof(double), stream);
    RECON_LAUNCH(loss_kernel, blocks, kLossThreads, stream, a, total);
    RECON_LAUNCH(loss_value_kernel, 1, 32, stream, a.ssim_weight, total, out);
    if (a.v_image) RECON_LAUNCH(loss_gradient_kernel, blocks, kLossThreads, stream, a, total);
}

}  // namespace recon::gpu
