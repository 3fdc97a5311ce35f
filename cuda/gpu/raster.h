// Compositing: a warp owns 16 columns and 2 * Rows rows of pixels of one tile, a lane `Rows` pixels of one column, every second
// row. Warps share nothing: each walks its tile's list by itself, 32 primitives at a time. Every lane stages one of them, asks
// whether it reaches the warp's rectangle, and the ballot leaves those that do. Few channels leave registers for four pixels
// per lane; with many a lane has fewer, so that nothing spills.
//
// Backward, the sums over a warp's pixels are reduced by a transposed tree (about one shuffle per sum instead of five), after which
// each lane holds one of them and the warp adds them to the primitive's row with neighbouring atomics.
#pragma once

#include "gpu/args.h"
#include "gpu/simt.h"
#include "recon/footprint.h"

namespace recon::gpu {

constexpr int kWarp = 32;
constexpr uint32_t kAll = 0xffffffffu;

template <int Channels>
constexpr int kRowsPerLane = Channels <= 8 ? 4 : Channels <= 16 ? 2 : 1;

// Where a warp's pixels are. Its blocks are warps: 8 / Rows of them per tile.
template <int Rows>
struct Patch {
    int x, y[Rows], tile, left, top;
    bool inside[Rows];

    RECON_DEVICE Patch(const RasterArgs<float>& a, int64_t warp) {
        constexpr int kParts = kTile / (2 * Rows);
        tile = int(warp / kParts);
        left = tile % a.tiles_x * kTile;
        top = tile / a.tiles_x * kTile + int(warp % kParts) * 2 * Rows;
        x = left + simt::lane() % kTile;
        for (int r = 0; r < Rows; ++r) {
            y[r] = top + simt::lane() / kTile + 2 * r;
            inside[r] = x < a.width && y[r] < a.height;
        }
    }
    template <class Family>
    RECON_DEVICE bool reached_by(const float* record) const {
        return Family::may_reach(record, float(left) + 0.5f, float(left) + 15.5f, float(top) + 0.5f, float(top + 2 * Rows) - 0.5f);
    }
};

template <class Family, int Channels>
struct Stage {
    alignas(16) float record[kWarp][Family::kRecord];  // rows of 16-byte words, here and in memory
    float channel[kWarp][Channels];
    int32_t id[kWarp];

    // Lane l stages instance `place + l` if there is one. Returns who reaches the patch.
    template <int Rows>
    RECON_DEVICE uint32_t load(const GpuRasterArgs& a, const Patch<Rows>& patch, int place, int end) {
        const int l = simt::lane();
        bool reached = false;
        simt::sync_warp();
        if (place + l < end) {
            id[l] = a.instances[place + l];
            const float* from = a.raster.records + int64_t(Family::kRecord) * id[l];
            for (int k = 0; k < Family::kRecord; k += 4) simt::copy_word(from + k, record[l] + k);
            reached = patch.template reached_by<Family>(record[l]);
            if (reached) {
                const float* values = a.raster.channel_values + int64_t(a.raster.channels) * id[l];
                for (int c = 0; c < Channels; ++c) channel[l][c] = c < a.raster.channels ? values[c] : 0.0f;
            }
        }
        const uint32_t hits = simt::ballot(reached);
        simt::sync_warp();
        return hits;
    }
};

template <class Family, int Channels, bool Geometry>
RECON_KERNEL forward_kernel(GpuRasterArgs a) {
    constexpr int Rows = kRowsPerLane<Channels>;
    RECON_SHARED Stage<Family, Channels> stage;
    const RasterArgs<float>& f = a.raster;
    const Patch<Rows> patch(f, blockIdx.x);
    const int begin = a.tile_ranges[2 * patch.tile], end = a.tile_ranges[2 * patch.tile + 1];
    float transmittance[Rows], sum[Rows][Channels], depth[Rows], median[Rows];
    int last[Rows], median_place[Rows];
    bool open[Rows];
    for (int r = 0; r < Rows; ++r) {
        transmittance[r] = 1, depth[r] = median[r] = 0, last[r] = median_place[r] = 0, open[r] = patch.inside[r];
        for (int c = 0; c < Channels; ++c) sum[r][c] = 0;
    }
    for (int base = begin; base < end; base += kWarp) {
        bool any_open = false;
        for (int r = 0; r < Rows; ++r) any_open |= open[r];
        if (!simt::ballot(any_open)) break;
        for (uint32_t hits = stage.load(a, patch, base, end); hits; hits &= hits - 1) {
            const int k = simt::first_bit(hits), place = base - begin + k + 1;
            const float* record = stage.record[k];
            for (int r = 0; r < Rows; ++r) {
                if (!open[r]) continue;
                auto sample = Family::evaluate(record, float(patch.x) + 0.5f, float(patch.y[r]) + 0.5f);
                if (!(sample.key >= float(Family::kThreshold))) continue;
                const float weight = transmittance[r] * min(Family::alpha(record, sample), f.alpha_max);
                const float after = transmittance[r] - weight;
                if (after <= float(kMinTransmittance)) {
                    open[r] = false;
                    continue;
                }
                for (int c = 0; c < Channels; ++c) sum[r][c] += weight * stage.channel[k][c];
                last[r] = place;
                if constexpr (Geometry) {
                    float z = record[2];
                    if constexpr (Family::kPixelDepth) {
                        z = Family::depth(record, sample);
                        depth[r] += weight * z;
                    }
                    if (transmittance[r] > 0.5f && after <= 0.5f) median[r] = z, median_place[r] = place;
                }
                transmittance[r] = after;
            }
        }
    }
    const int64_t plane = int64_t(f.width) * f.height;
    for (int r = 0; r < Rows; ++r) {
        if (!patch.inside[r]) continue;
        const int64_t pixel = int64_t(patch.y[r]) * f.width + patch.x;
        for (int c = 0; c < Channels; ++c) {
            if (c >= f.channels) break;
            float value = sum[r][c];
            if (f.background) value += transmittance[r] * f.background[c];
            if (Family::kPixelDepth && f.depth && c == 3) value += depth[r];
            f.image[c * plane + pixel] = value;
        }
        f.transmittance[pixel] = transmittance[r];
        f.last[pixel] = last[r];
        if (f.median_depth) f.median_depth[pixel] = median[r], f.median_place[pixel] = median_place[r];
    }
}

// Adds N values over the warp; afterwards v[0] (and v[1], ... for N > 32) of a lane are totals, of the values that `owner` tells.
template <int N, int Offset = kWarp / 2>
RECON_DEVICE void transpose_add(float* v) {
    if constexpr (Offset > 0) {
        constexpr int kHalf = (N + 1) / 2;
        const bool upper = simt::lane() & Offset;
        for (int k = 0; k < kHalf; ++k) {
            const float low = v[k], high = k + kHalf < N ? v[k + kHalf] : 0.0f;
            v[k] = (upper ? high : low) + simt::shuffle_xor(upper ? low : high, Offset);
        }
        transpose_add<kHalf, Offset / 2>(v);
    }
}
// Which of N values v[0] of this lane is the total of: the first of a run of kHeld<N>.
template <int N, int Offset = kWarp / 2>
RECON_DEVICE int owner() {
    if constexpr (Offset == 0) {
        return 0;
    } else {
        constexpr int kHalf = (N + 1) / 2;
        return ((simt::lane() & Offset) ? kHalf : 0) + owner<kHalf, Offset / 2>();
    }
}
// How many totals a lane holds at most.
template <int N, int Offset = kWarp / 2>
constexpr int kHeld = kHeld<(N + 1) / 2, Offset / 2>;
template <int N>
constexpr int kHeld<N, 0> = N;
// Whether index `i`, found by `owner` plus a place in the run, belongs to this lane: halves that are rounded up overlap.
template <int N, int Offset = kWarp / 2>
RECON_DEVICE bool owns(int i) {
    if constexpr (Offset == 0) {
        return i < N;
    } else {
        constexpr int kHalf = (N + 1) / 2;
        const bool upper = simt::lane() & Offset;
        if (upper) return i >= kHalf && i < N && owns<kHalf, Offset / 2>(i - kHalf);
        return i < kHalf && owns<kHalf, Offset / 2>(i);
    }
}

template <class Family, int Channels, bool Extra>
RECON_KERNEL backward_kernel(GpuRasterArgs a) {
    constexpr int Rows = kRowsPerLane<Channels>;
    constexpr int kExtra = Family::kMoments, kFirstChannel = kExtra + (Extra ? kExtraMoments : 0), kSums = kFirstChannel + Channels;
    RECON_SHARED Stage<Family, Channels> stage;
    const RasterArgs<float>& f = a.raster;
    const Patch<Rows> patch(f, blockIdx.x);
    const int begin = a.tile_ranges[2 * patch.tile], width = kFirstChannel + f.channels;
    const int64_t plane = int64_t(f.width) * f.height;
    float transmittance[Rows], suffix[Rows], v[Rows][Channels], v_median[Rows];
    int last[Rows], median_place[Rows], farthest = 0;
    for (int r = 0; r < Rows; ++r) {
        const int64_t pixel = int64_t(patch.y[r]) * f.width + patch.x;
        const bool inside = patch.inside[r];
        transmittance[r] = inside ? f.transmittance[pixel] : 1.0f;
        last[r] = inside ? f.last[pixel] : 0;
        v_median[r] = inside && f.v_median_depth ? f.v_median_depth[pixel] : 0.0f;
        median_place[r] = inside && f.v_median_depth ? f.median_place[pixel] : 0;
        float behind = inside && f.v_alpha ? -f.v_alpha[pixel] : 0.0f;
        for (int c = 0; c < Channels; ++c) {
            v[r][c] = inside && c < f.channels ? f.v_image[c * plane + pixel] : 0.0f;
            if (f.background && c < f.channels) behind += v[r][c] * f.background[c];
        }
        suffix[r] = transmittance[r] * behind;
        farthest = farthest > last[r] ? farthest : last[r];
    }
    // The farthest contribution of the warp, bit by bit of the ballot on its binary digits.
    int used = 0;
    for (int bit = 1 << 30; bit; bit >>= 1)
        if (simt::ballot(farthest >= used + bit)) used += bit;

    for (int base = used > 0 ? (used - 1) / kWarp * kWarp : -1; base >= 0; base -= kWarp) {
        for (uint32_t hits = stage.load(a, patch, begin + base, begin + used); hits;) {
            const int k = simt::last_bit(hits), place = base + k + 1;
            hits &= ~(1u << k);
            const float* record = stage.record[k];
            float sum[kSums], largest = 0;
            for (int i = 0; i < kSums; ++i) sum[i] = 0;
            bool touched = false;
            for (int r = 0; r < Rows; ++r) {
                if (last[r] < place) continue;
                auto sample = Family::evaluate(record, float(patch.x) + 0.5f, float(patch.y[r]) + 0.5f);
                if (!(sample.key >= float(Family::kThreshold))) continue;
                touched = true;
                const float raw = Family::alpha(record, sample), alpha = min(raw, f.alpha_max);
                const float inverse = reciprocal(1.0f - alpha), before = transmittance[r] * inverse, weight = alpha * before;
                float q = 0;
                for (int c = 0; c < Channels; ++c) {
                    q += stage.channel[k][c] * v[r][c];
                    sum[kFirstChannel + c] += weight * v[r][c];
                }
                float v_pixel_depth = 0;
                if constexpr (Extra && Family::kPixelDepth && Channels > 3) {
                    if (f.depth) {
                        v_pixel_depth = weight * v[r][3];
                        q += Family::depth(record, sample) * v[r][3];
                    }
                }
                const float v_alpha = before * q - suffix[r] * inverse;
                suffix[r] += weight * q;
                transmittance[r] = before;
                const float slope = raw < f.alpha_max ? alpha * v_alpha : 0.0f;
                Family::accumulate(record, sample, slope, sum);
                if constexpr (Extra) {
                    float shift_x, shift_y;
                    Family::shift(record, sample, shift_x, shift_y);
                    sum[kExtra] += abs(slope * shift_x);
                    sum[kExtra + 1] += abs(slope * shift_y);
                    largest = max(largest, weight);
                    const float v_depth = median_place[r] == place ? v_median[r] : 0.0f;
                    if constexpr (Family::kPixelDepth)
                        Family::accumulate_depth(record, sample, v_depth + v_pixel_depth, sum);
                    else
                        sum[kExtra + 3] += v_depth;
                }
            }
            if (!simt::ballot(touched)) continue;
            float* out = f.moments + int64_t(width) * stage.id[k];
            if constexpr (Extra) {
                for (int offset = kWarp / 2; offset; offset /= 2) largest = max(largest, simt::shuffle_xor(largest, offset));
                if (simt::lane() == 0) simt::offer(out + kExtra + 2, largest);
            }
            transpose_add<kSums>(sum);
            const int first = owner<kSums>();
            for (int i = 0; i < kHeld<kSums>; ++i)
                if (owns<kSums>(first + i) && first + i < width && !(Extra && first + i == kExtra + 2)) simt::add(out + first + i, sum[i]);
        }
    }
}

// Calls body(constant) with the number of channels that sums are kept for.
template <class Body>
void with_channels(int channels, const Body& body) {
    if (channels <= 3) return body(std::integral_constant<int, 3>{});
    if (channels <= 8) return body(std::integral_constant<int, 8>{});
    if (channels <= 16) return body(std::integral_constant<int, 16>{});
    return body(std::integral_constant<int, kMaxChannels>{});
}

template <class Family>
void rasterize_forward(const GpuRasterArgs& a, void* stream) {
    const int64_t tiles = int64_t(a.raster.tiles_x) * a.raster.tiles_y;
    const bool geometry = a.raster.median_depth || (Family::kPixelDepth && a.raster.depth);
    with_channels(a.raster.channels, [&](auto channels) {
        constexpr int kChannels = decltype(channels)::value;
        const int64_t warps = tiles * (kTile / (2 * kRowsPerLane<kChannels>));
        if (geometry)
            RECON_LAUNCH((forward_kernel<Family, kChannels, true>), warps, kWarp, stream, a);
        else
            RECON_LAUNCH((forward_kernel<Family, kChannels, false>), warps, kWarp, stream, a);
    });
}

template <class Family>
void rasterize_backward(const GpuRasterArgs& a, void* stream) {
    const int64_t tiles = int64_t(a.raster.tiles_x) * a.raster.tiles_y;
    const size_t width = Family::kMoments + (a.raster.extra ? kExtraMoments : 0) + size_t(a.raster.channels);
    simt::fill_bytes(a.raster.moments, 0, size_t(a.count) * width * sizeof(float), stream);
    with_channels(a.raster.channels, [&](auto channels) {
        constexpr int kChannels = decltype(channels)::value;
        const int64_t warps = tiles * (kTile / (2 * kRowsPerLane<kChannels>));
        if (a.raster.extra)
            RECON_LAUNCH((backward_kernel<Family, kChannels, true>), warps, kWarp, stream, a);
        else
            RECON_LAUNCH((backward_kernel<Family, kChannels, false>), warps, kWarp, stream, a);
    });
}

}  // namespace recon::gpu
