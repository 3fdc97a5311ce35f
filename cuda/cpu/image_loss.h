// (1 - w) mean |a - b| + w (1 - mean SSIM(a, b)), its gradient, and SSIM as a metric.
//
// SSIM: Wang et al. 2004, 11x11 Gaussian window of sigma 1.5, zero padding, data range 1, per channel. Bands of rows are
// independent tasks; the separable filter runs over rows first and keeps only the band's filtered rows.
#pragma once

#include <cstdlib>

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/ssim.h"
#include "recon/training_args.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kRadius = kSsimRadius;
constexpr int kBandRows = 16;

// A plane of rows padded with zeros on both sides, wide enough for whole packs.
template <class Real>
struct PaddedRows {
    int stride;
    Real* data;
    RECON_HD Real* row(int r) const { return data + int64_t(r) * stride; }
};

template <class Real>
RECON_HD int padded_width(int width) {
    return (width + kLanes - 1) / kLanes * kLanes + 2 * kLanes;
}

// out[x] = sum over taps of in[x + i]; `in` points at column 0 and has kLanes readable columns on both sides.
template <class Real>
RECON_HD void filter_row(const Real* in, Real* out, int width) {
    using P = Pack<Real>;
    for (int x = 0; x < width; x += kLanes) {
        P sum = P(Real(ssim_tap(0))) * P::load(in + x);
        for (int i = 1; i <= kRadius; ++i)
            sum = sum + P(Real(ssim_tap(i))) * (P::load(in + x - i) + P::load(in + x + i));
        sum.store(out + x);
    }
}

// Vertical filter at row r of rows filtered horizontally; rows r - kRadius .. r + kRadius exist.
template <class Real>
RECON_HD Pack<Real> filter_column(const PaddedRows<Real>& rows, int r, int x) {
    using P = Pack<Real>;
    P sum = P(Real(ssim_tap(0))) * P::load(rows.row(r) + x);
    for (int i = 1; i <= kRadius; ++i)
        sum = sum + P(Real(ssim_tap(i))) * (P::load(rows.row(r - i) + x) + P::load(rows.row(r + i) + x));
    return sum;
}

template <class Real>
RECON_HD Pack<Real> load_columns(const Real* row, int x, int width) {
    if (x + kLanes <= width) return Pack<Real>::load(row + x);
    alignas(64) Real lanes[kLanes] = {};
    for (int l = 0; x + l < width; ++l) lanes[l] = row[x + l];
    return Pack<Real>::load(lanes);
}
template <class Real>
RECON_HD void store_columns(const Pack<Real>& pack, Real* row, int x, int width) {
    if (x + kLanes <= width) return pack.store(row + x);
    pack.scatter(row + x, 1, width - x);
}

// Statistics, loss sums and the three maps that the gradient filters back, for one band of one channel.
template <class Real>
void loss_band(const ImageLossArgs<Real>& a, int channel, int y0, Real* memory) {
    using P = Pack<Real>;
    const int width = a.width, height = a.height, stride = padded_width<Real>(width);
    const int rows = height - y0 < kBandRows ? height - y0 : kBandRows, window = rows + 2 * kRadius;
    const int64_t plane = int64_t(width) * height;
    const Real *image = a.image + channel * plane, *target = a.target + channel * plane;
    // Five filtered maps of the band's window, then one padded line per product.
    PaddedRows<Real> filtered[5];
    for (int m = 0; m < 5; ++m) filtered[m] = {stride, memory + int64_t(m) * (kBandRows + 2 * kRadius) * stride + kLanes};
    Real* lines = memory + int64_t(5) * (kBandRows + 2 * kRadius) * stride + kLanes;
    std::memset(lines - kLanes, 0, size_t(5) * size_t(stride) * sizeof(Real));
    for (int r = 0; r < window; ++r) {
        const int y = y0 + r - kRadius;
        if (y < 0 || y >= height) {
            for (auto& map : filtered) std::memset(map.row(r), 0, size_t(stride - 2 * kLanes) * sizeof(Real));
            continue;
        }
        for (int x = 0; x < width; x += kLanes) {
            const P u = load_columns(image + int64_t(y) * width, x, width), v = load_columns(target + int64_t(y) * width, x, width);
            u.store(lines + x);
            v.store(lines + stride + x);
            (u * u).store(lines + 2 * stride + x);
            (v * v).store(lines + 3 * stride + x);
            (u * v).store(lines + 4 * stride + x);
        }
        for (int m = 0; m < 5; ++m) filter_row(lines + m * stride, filtered[m].row(r), width);
    }
    const P zero = P(Real(0));
    for (int r = 0; r < rows; ++r) {
        const int y = y0 + r;
        P sum_weight = zero, sum_l1 = zero, sum_ssim = zero;
        for (int x = 0; x < width; x += kLanes) {
            const P u = load_columns(image + int64_t(y) * width, x, width), v = load_columns(target + int64_t(y) * width, x, width);
            alignas(64) Real exists[kLanes];
            for (int l = 0; l < kLanes; ++l) exists[l] = x + l < width ? Real(1) : Real(0);
            const P weight = a.weight ? load_columns(a.weight + int64_t(y) * width, x, width) : P::load(exists);
            const P mu = filter_column(filtered[0], r + kRadius, x), mv = filter_column(filtered[1], r + kRadius, x);
            const Ssim<P> ssim = ssim_of(mu, mv, filter_column(filtered[2], r + kRadius, x), filter_column(filtered[3], r + kRadius, x),
                                         filter_column(filtered[4], r + kRadius, x));
            sum_weight = sum_weight + weight;
            sum_l1 = sum_l1 + weight * abs(u - v);
            sum_ssim = sum_ssim + weight * ssim.value;
            if (!a.v_image) continue;
            const int64_t offset = (int64_t(channel) * height + y) * width, maps = int64_t(a.channels) * plane;
            store_columns(weight * ssim.by_u, a.scratch + offset, x, width);
            store_columns(weight * ssim.by_uu, a.scratch + maps + offset, x, width);
            store_columns(weight * ssim.by_uv, a.scratch + 2 * maps + offset, x, width);
        }
        Real* out = a.rows + (int64_t(channel) * height + y) * 3;
        const P sums[3] = {sum_weight, sum_l1, sum_ssim};
        sum_lanes<3>(sums, out);
    }
}

// v_image = scale_l1 weight sign(u - v) + scale_ssim (G by_u + 2 u G by_uu + v G by_uv), G the filter.
template <class Real>
void gradient_band(const ImageLossArgs<Real>& a, int channel, int y0, Real scale_l1, Real scale_ssim, Real* memory) {
    using P = Pack<Real>;
    const int width = a.width, height = a.height, stride = padded_width<Real>(width);
    const int rows = height - y0 < kBandRows ? height - y0 : kBandRows, window = rows + 2 * kRadius;
    const int64_t plane = int64_t(width) * height, maps = int64_t(a.channels) * plane;
    PaddedRows<Real> filtered[3];
    for (int m = 0; m < 3; ++m) filtered[m] = {stride, memory + int64_t(m) * (kBandRows + 2 * kRadius) * stride + kLanes};
    Real* line = memory + int64_t(5) * (kBandRows + 2 * kRadius) * stride + kLanes;
    std::memset(line - kLanes, 0, size_t(stride) * sizeof(Real));
    for (int r = 0; r < window; ++r) {
        const int y = y0 + r - kRadius;
        for (int m = 0; m < 3; ++m) {
            if (y < 0 || y >= height) {
                std::memset(filtered[m].row(r), 0, size_t(stride - 2 * kLanes) * sizeof(Real));
                continue;
            }
            const Real* source = a.scratch + m * maps + (int64_t(channel) * height + y) * width;
            for (int x = 0; x < width; x += kLanes) load_columns(source, x, width).store(line + x);
            filter_row(line, filtered[m].row(r), width);
        }
    }
    const P zero = P(Real(0)), one = P(Real(1)), two = P(Real(2));
    for (int r = 0; r < rows; ++r) {
        const int64_t offset = int64_t(channel) * plane + int64_t(y0 + r) * width;
        for (int x = 0; x < width; x += kLanes) {
            const P u = load_columns(a.image + offset, x, width), v = load_columns(a.target + offset, x, width);
            const P weight = a.weight ? load_columns(a.weight + int64_t(y0 + r) * width, x, width) : one;
            const P sign = select(u > v, one, zero) - select(u < v, one, zero);
            const P back = filter_column(filtered[0], r + kRadius, x) + two * u * filter_column(filtered[1], r + kRadius, x) +
                           v * filter_column(filtered[2], r + kRadius, x);
            store_columns(P(scale_l1) * weight * sign + P(scale_ssim) * back, a.v_image + offset, x, width);
        }
    }
}

// Sums the loss; fills v_image when wanted. out: loss, weighted mean |a - b|, weighted mean SSIM.
template <class Real>
void image_loss(const ImageLossArgs<Real>& a, double* out) {
    const int bands = (a.height + kBandRows - 1) / kBandRows;
    const int64_t memory = int64_t(padded_width<Real>(a.width)) * (5 * (kBandRows + 2 * kRadius) + 5) + kLanes;
    Real* scratch = static_cast<Real*>(std::malloc(size_t(num_threads()) * size_t(memory) * sizeof(Real)));
    const auto each_band = [&](const auto& body) {
        parallel_for(int64_t(bands) * a.channels, [&](int64_t task, int thread) {
            body(int(task / bands), int(task % bands) * kBandRows, scratch + thread * memory);
        });
    };
    each_band([&](int channel, int y0, Real* own) { loss_band(a, channel, y0, own); });
    double sums[3] = {};
    for (int64_t row = 0; row < int64_t(a.channels) * a.height; ++row)
        for (int k = 0; k < 3; ++k) sums[k] += double(a.rows[3 * row + k]);
    const double total = sums[0] > 0 ? sums[0] : 1;
    const double l1 = sums[1] / total, ssim = sums[2] / total, w = double(a.ssim_weight);
    out[0] = (1 - w) * l1 + w * (1 - ssim);
    out[1] = l1;
    out[2] = ssim;
    if (a.v_image) {
        const Real scale_l1 = Real((1 - w) / total), scale_ssim = Real(-w / total);
        each_band([&](int channel, int y0, Real* own) { gradient_band(a, channel, y0, scale_l1, scale_ssim, own); });
    }
    std::free(scratch);
}

}  // namespace RECON_ISA
}  // namespace recon
