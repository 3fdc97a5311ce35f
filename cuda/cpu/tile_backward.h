// Gradient of the compositing of one tile, back to front.
//
// With q_j = c_j . v and v = dL/dimage, one scalar per pixel carries everything behind primitive i, whatever the number
// of channels:
//     dL/dalpha_i = T_i q_i - suffix_i / (1 - alpha_i),   suffix_i = sum_{j > i} w_j q_j + T_N (background . v - dL/dA).
// The transmittance is recovered by division, so nothing is stored per pixel and primitive.
//
// Primitive by primitive: sums over pixels stay in registers across the blocks, and are reduced over the lanes once per
// instance. They go to the instance's own slot; nobody else writes there, so no atomics and no dependence on threads.
#pragma once

#include "cpu/tile.h"

namespace recon {
inline namespace RECON_ISA {

template <class Real, int Channels, bool Extra>
struct BlockGradient {
    Pack<Real> transmittance, suffix, last;
    Pack<Real> v[Channels];
    Pack<Real> v_median, median_place, v_depth;  // Extra only
};

// A loop, because a memset of unknown small size starts slowly.
template <class Real>
RECON_HD void clear_slot(Real* slot, int width) {
    for (int c = 0; c < width; ++c) {
        slot[c] = 0;
        __asm__ volatile("");  // or the compiler makes it that memset again
    }
}

constexpr int kAhead = 6;  // primitives between asking for a slot's memory and writing it

template <class Family, class Real, int Channels, bool Extra>
void backward_tile(const RasterArgs<Real>& a, int64_t tile) {
    using P = Pack<Real>;
    const TileFrame<Real> frame(a, tile);
    const int64_t begin = a.tile_offsets[tile], end = a.tile_offsets[tile + 1];
    if (begin == end) return;
    const int width = Family::kMoments + (a.extra ? kExtraMoments : 0) + a.channels;
    const int64_t plane = int64_t(a.width) * a.height;
    const P zero = P(Real(0)), one = P(Real(1));

    BlockGradient<Real, Channels, Extra> state[kBlocks];
    alignas(64) Real block_last[kLanes] = {};
    Real tile_last = 0;
    for (int b = 0; b < kBlocks; ++b) {
        if (!frame.on_image(b)) continue;
        auto& s = state[b];
        s.transmittance = frame.load(a.transmittance, b);
        s.last = frame.load(a.last, b);
        P behind = a.v_alpha ? -frame.load(a.v_alpha, b) : zero;
        for (int c = 0; c < Channels; ++c) {
            s.v[c] = c < a.channels ? frame.load(a.v_image + c * plane, b) : zero;
            if (a.background && c < a.channels) behind = behind + s.v[c] * P(a.background[c]);
        }
        s.suffix = s.transmittance * behind;
        if constexpr (Extra) {
            s.v_median = a.v_median_depth ? frame.load(a.v_median_depth, b) : zero;
            s.median_place = a.v_median_depth ? frame.load(a.median_place, b) : zero;
            s.v_depth = a.depth ? frame.load(a.v_image + 3 * plane, b) : zero;
        }
        for (int l = 0; l < kLanes; ++l) {
            const Real place = s.last[l];
            if (place > block_last[b]) block_last[b] = place;
        }
        if (block_last[b] > tile_last) tile_last = block_last[b];
    }
    const P lasts = P::load(block_last);
    const int64_t used = int64_t(tile_last);

    for (int64_t i = begin + used; i < end; ++i)
        clear_slot(a.moments + int64_t(a.instances[2 * i + 1]) * width, width);

    const P threshold = P(Real(Family::kThreshold)), max_alpha = P(a.alpha_max);
    P px[kBlocks], py[kBlocks];
    for (int b = 0; b < kBlocks; ++b) px[b] = frame.pixel_x(b), py[b] = frame.pixel_y(b);
    Batch<Family, Real, Channels> batch;
    constexpr int kBatch = batch.kBatch;
    for (int64_t base = used - (used ? (used - 1) % kBatch + 1 : 0); used && base >= 0; base -= kBatch) {
        const int count = int(used - base < kBatch ? used - base : kBatch);
        batch.stage(a, frame, begin + base, count);
        for (int k = count - 1; k >= 0; --k) {
            Real* out = a.moments + int64_t(batch.slot[k]) * width;
            // Slots lie anywhere: without asking early, the stores below wait for their cache lines.
            if (k >= kAhead) {
                const Real* soon = a.moments + int64_t(batch.slot[k - kAhead]) * width;
                for (int c = 0; c < width; c += int(64 / sizeof(Real))) __builtin_prefetch(soon + c, 1);
            }
            const P place = P(Real(base + k + 1));
            uint32_t bits = batch.blocks[k] & (lasts >= place).bits();
            if (!bits) {
                clear_slot(out, width);
                continue;
            }
            const Staged<Family, Real, Channels>& g = batch.primitive[k];
            typename BlockEvaluator<Family, Real>::Staged staged;
            BlockEvaluator<Family, Real>::stage(g.record, Real(frame.x0), Real(frame.y0), staged);
            BlockEvaluator<Family, Real>::choose(staged, [&](auto& way) {
                // Sums of the family, the extra ones, and dL/dchannel; the largest weight is reduced on its own.
                constexpr int kExtra = Family::kMoments, kFirstChannel = kExtra + (Extra ? kExtraMoments : 0);
                constexpr int kSums = kFirstChannel + Channels;
                P sum[kSums], largest = zero;
                for (P& s : sum) s = zero;
                for (; bits; bits &= bits - 1) {
                    const int b = __builtin_ctz(bits);
                    auto& s = state[b];
                    auto sample = way.evaluate(g.record, staged, b, px[b], py[b]);
                    const auto hit = (sample.key >= threshold) & (s.last >= place);
                    if (!any(hit)) continue;
                    const P raw = Family::alpha(g.record, sample);
                    const P alpha = select(hit, min(raw, max_alpha), zero);
                    const P inverse = reciprocal(one - alpha);
                    const P before = s.transmittance * inverse;
                    const P weight = alpha * before;
                    P q = zero;
                    for (int c = 0; c < Channels; ++c) {
                        q = q + P(g.channel[c]) * s.v[c];
                        sum[kFirstChannel + c] = sum[kFirstChannel + c] + weight * s.v[c];
                    }
                    if constexpr (Extra && Family::kPixelDepth) q = q + select(hit, Family::depth(g.record, sample), zero) * s.v_depth;
                    const P v_alpha = before * q - s.suffix * inverse;
                    s.suffix = s.suffix + weight * q;
                    s.transmittance = before;
                    // dL / d ln alpha; a clamped alpha has no slope.
                    const P slope = select(hit & (raw < max_alpha), alpha * v_alpha, zero);
                    way.accumulate(g.record, staged, b, sample, slope, sum);
                    if constexpr (Extra) {
                        P shift_x, shift_y;
                        Family::shift(g.record, sample, shift_x, shift_y);
                        sum[kExtra] = sum[kExtra] + abs(slope * shift_x);
                        sum[kExtra + 1] = sum[kExtra + 1] + abs(slope * shift_y);
                        largest = max(largest, weight);
                        const auto chosen = (s.median_place >= place) & (s.median_place <= place);
                        const P v_depth = select(chosen, s.v_median, zero);
                        if constexpr (Family::kPixelDepth)
                            Family::accumulate_depth(g.record, sample, select(hit, v_depth + weight * s.v_depth, zero), sum);
                        else
                            sum[kExtra + 3] = sum[kExtra + 3] + v_depth;
                    }
                }
                way.finish(staged, sum);
                Real reduced[kSums];
                sum_lanes<kSums>(sum, reduced);
                if constexpr (Extra) {
                    alignas(64) Real lanes[kLanes];
                    largest.store(lanes);
                    for (const Real weight : lanes) reduced[kExtra + 2] = weight > reduced[kExtra + 2] ? weight : reduced[kExtra + 2];
                }
                for (int c = 0; c < width; ++c) out[c] = reduced[c];
            });
        }
    }
}

}  // namespace RECON_ISA
}  // namespace recon
