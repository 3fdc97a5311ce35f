// Compositing of one tile, front to back (Kerbl et al. 2023, eq. 3).
//
// Block by block: a block's transmittance and channel sums stay in registers while its list of primitives streams by.
#pragma once

#include <limits>

#include "cpu/tile.h"

namespace recon {
inline namespace RECON_ISA {

template <class Real, int Channels>
struct BlockState {
    Pack<Real> transmittance, threshold, last, median, median_place, depth;
    Pack<Real> sum[Channels];
};

// Geometry: the median depth, and the sum of depths that vary over a footprint.
template <class Family, class Real, int Channels, bool Geometry>
void forward_block(const Batch<Family, Real, Channels>& batch, const typename BlockEvaluator<Family, Real>::Staged* staged, const uint8_t* list, int count, int block, int64_t first_place, Real alpha_max,
                   const Pack<Real>& px, const Pack<Real>& py, BlockState<Real, Channels>& state) {
    using P = Pack<Real>;
    const P zero = P(Real(0)), max_alpha = P(alpha_max), end = P(Real(kMinTransmittance));
    const P infinity = P(std::numeric_limits<Real>::infinity());
    BlockState<Real, Channels> s = state;
    for (int i = 0; i < count; ++i) {
        const int k = list[i];
        const Staged<Family, Real, Channels>& g = batch.primitive[k];
        auto sample = BlockEvaluator<Family, Real>::choose(
            staged[k], [&](auto& way) { return way.evaluate(g.record, staged[k], block, px, py); });
        const auto hit = sample.key >= s.threshold;
        // Where alpha costs as little as this question it is computed for all.
        if (Family::kDear && !any(hit)) continue;
        const P weight = s.transmittance * select(hit, min(Family::alpha(g.record, sample), max_alpha), zero);
        const auto stop = s.transmittance - weight <= end;
        s.threshold = select(stop, infinity, s.threshold);
        const P w = select(stop, zero, weight);
        for (int c = 0; c < Channels; ++c) s.sum[c] = s.sum[c] + w * P(g.channel[c]);
        const auto added = w > zero;
        const P place = P(Real(first_place + k + 1));
        s.last = select(added, place, s.last);
        const P after = s.transmittance - w;
        if constexpr (Geometry) {
            const auto crossing = (s.transmittance > P(Real(0.5))) & (after <= P(Real(0.5)));
            P depth = P(g.record[2]);
            if constexpr (Family::kPixelDepth) {
                depth = Family::depth(g.record, sample);
                s.depth = s.depth + select(added, w * depth, zero);
            }
            s.median = select(crossing, depth, s.median);
            s.median_place = select(crossing, place, s.median_place);
        }
        s.transmittance = after;
        if ((i & 7) == 7 && !any(s.threshold < infinity)) break;
    }
    state = s;
}

template <class Family, class Real, int Channels, bool Geometry>
void forward_tile(const RasterArgs<Real>& a, int64_t tile) {
    using P = Pack<Real>;
    const TileFrame<Real> frame(a, tile);
    const int64_t begin = a.tile_offsets[tile], end = a.tile_offsets[tile + 1];
    const P infinity = P(std::numeric_limits<Real>::infinity()), zero = P(Real(0));
    BlockState<Real, Channels> state[kBlocks];
    uint32_t live = 0;
    for (int b = 0; b < kBlocks; ++b) {
        if (!frame.on_image(b)) continue;
        live |= 1u << b;
        state[b].transmittance = P(Real(1));
        // A pixel is finished when its threshold is infinite; pixels outside the image start that way.
        state[b].threshold = select(frame.inside(b), P(Real(Family::kThreshold)), infinity);
        state[b].last = state[b].median = state[b].median_place = state[b].depth = zero;
        for (int c = 0; c < Channels; ++c) state[b].sum[c] = zero;
    }
    const uint32_t on_image = live;
    Batch<Family, Real, Channels> batch;
    constexpr int kBatch = batch.kBatch;
    typename BlockEvaluator<Family, Real>::Staged staged[kBatch];
    uint8_t lists[kBlocks][kBatch];
    static_assert(kBatch <= 256, "a place in the batch must fit into a byte");
    for (int64_t base = begin; base < end && live; base += kBatch) {
        const int count = int(end - base < kBatch ? end - base : kBatch);
        batch.stage(a, frame, base, count);
        for (int k = 0; k < count; ++k)
            if (batch.blocks[k] & live)
                BlockEvaluator<Family, Real>::stage(batch.primitive[k].record, Real(frame.x0), Real(frame.y0), staged[k]);
        int lengths[kBlocks] = {};
        for (int k = 0; k < count; ++k)
            for (uint32_t bits = batch.blocks[k] & live; bits; bits &= bits - 1) {
                const int b = __builtin_ctz(bits);
                lists[b][lengths[b]++] = uint8_t(k);
            }
        for (uint32_t bits = live; bits; bits &= bits - 1) {
            const int b = __builtin_ctz(bits);
            forward_block<Family, Real, Channels, Geometry>(batch, staged, lists[b], lengths[b], b, base - begin, a.alpha_max, frame.pixel_x(b),
                                                            frame.pixel_y(b), state[b]);
            if (!any(state[b].threshold < infinity)) live &= ~(1u << b);
        }
    }
    const int64_t plane = int64_t(a.width) * a.height;
    for (uint32_t bits = on_image; bits; bits &= bits - 1) {
        const int b = __builtin_ctz(bits);
        const BlockState<Real, Channels>& s = state[b];
        for (int c = 0; c < a.channels; ++c) {
            P behind = a.background ? s.transmittance * P(a.background[c]) : zero;
            if (Family::kPixelDepth && a.depth && c == 3) behind = behind + s.depth;
            frame.store(s.sum[c] + behind, a.image + c * plane, b);
        }
        frame.store(s.transmittance, a.transmittance, b);
        frame.store(s.last, a.last, b);
        if (a.median_depth) {
            frame.store(s.median, a.median_depth, b);
            frame.store(s.median_place, a.median_place, b);
        }
    }
}

}  // namespace RECON_ISA
}  // namespace recon
