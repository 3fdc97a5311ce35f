// Binning: visible primitives sorted by depth, then dealt to the tiles that they really touch.
//
// Two levels instead of one 64-bit sort: a radix sort of the depths of N primitives, and a counting sort of the M
// instances by tile that keeps their order. Chunks of the sorted list are counted and filled independently, each from
// its own row of the histogram, so the result is the same for any number of threads.
#pragma once

#include <cstdlib>

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/footprint.h"
#include "recon/raster_args.h"

namespace recon {
inline namespace RECON_ISA {

// Stable sort of `order` by the float bits of depth (positive floats sort like unsigned integers): three 11-bit passes.
template <class Family, class Real>
int64_t sort_visible_by_depth(const BinArgs<Real>& a) {
    constexpr int kBits = 11, kBuckets = 1 << kBits;
    const size_t n = size_t(a.count);
    struct Item {
        uint32_t key;
        int32_t id;
    };
    Item* items = static_cast<Item*>(std::malloc((2 * n + 1) * sizeof(Item)));
    Item* other = items + n;
    size_t visible = 0;
    for (size_t i = 0; i < n; ++i) {
        if (a.boxes[4 * i] > a.boxes[4 * i + 1]) continue;
        const float depth = float(a.records[Family::kRecord * i + 2]);
        uint32_t key;
        std::memcpy(&key, &depth, sizeof(key));
        items[visible++] = {key, int32_t(i)};
    }
    for (int shift = 0; shift < 32; shift += kBits) {
        size_t start[kBuckets + 1] = {};
        for (size_t i = 0; i < visible; ++i) ++start[(items[i].key >> shift & (kBuckets - 1)) + 1];
        for (int k = 0; k < kBuckets; ++k) start[k + 1] += start[k];
        for (size_t i = 0; i < visible; ++i) other[start[items[i].key >> shift & (kBuckets - 1)]++] = items[i];
        Item* swap = items;
        items = other;
        other = swap;
    }
    for (size_t i = 0; i < visible; ++i) a.order[i] = items[i].id;
    std::free(items < other ? items : other);
    return int64_t(visible);
}

// Calls body(tile) for every tile with a pixel centre at which the primitive's alpha reaches kMinAlpha.
template <class Family, class Real, class Body>
RECON_HD void for_each_tile(const BinArgs<Real>& a, int64_t id, const Body& body) {
    using P = Pack<Real>;
    const Real *record = a.records + Family::kRecord * id, *box = a.boxes + 4 * id;
    const auto first = [](Real low, int size) { return low > 0 ? (low < Real(size) ? int(std::ceil(low)) : size) : 0; };
    const auto final = [](Real high, int size) { return high >= 0 ? (high < Real(size - 1) ? int(high) : size - 1) : -1; };
    const int x0 = first(box[0] - Real(0.5), a.width), x1 = final(box[1] - Real(0.5), a.width);
    const int y0 = first(box[2] - Real(0.5), a.height), y1 = final(box[3] - Real(0.5), a.height);
    if (x0 > x1 || y0 > y1) return;
    const int tx0 = x0 / kTile, tx1 = x1 / kTile, ty0 = y0 / kTile, ty1 = y1 / kTile;
    if (tx0 == tx1 && ty0 == ty1) return body(ty0 * a.tiles_x + tx0);
    alignas(64) static const Real kLaneStart[kLanes] = {0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240};
    const P lane_start = P::load(kLaneStart);
    for (int ty = ty0; ty <= ty1; ++ty) {
        const Real top = Real(ty * kTile) + Real(0.5);
        for (int tx = tx0; tx <= tx1; tx += kLanes) {
            const P left = lane_start + P(Real(tx * kTile) + Real(0.5));
            uint32_t hit = Family::may_reach(record, left, left + P(Real(kTile - 1)), P(top), P(top + Real(kTile - 1))).bits();
            if (tx1 - tx + 1 < kLanes) hit &= (1u << (tx1 - tx + 1)) - 1;
            for (; hit; hit &= hit - 1) body(ty * a.tiles_x + tx + __builtin_ctz(hit));
        }
    }
}

// Fills order, slot_offsets, tile_offsets and histogram; returns the number of visible primitives and, through
// `instances`, M.
template <class Family, class Real>
int64_t bin_count(const BinArgs<Real>& a, int64_t* instances) {
    const int64_t visible = sort_visible_by_depth<Family>(a), tiles = int64_t(a.tiles_x) * a.tiles_y;
    std::memset(a.histogram, 0, size_t(kBinChunks * tiles) * sizeof(int32_t));
    std::memset(a.slot_offsets, 0, size_t(a.count + 1) * sizeof(int32_t));
    parallel_for(kBinChunks, [&](int64_t chunk, int) {
        int32_t* counts = a.histogram + chunk * tiles;
        for (int64_t i = visible * chunk / kBinChunks; i < visible * (chunk + 1) / kBinChunks; ++i) {
            const int32_t id = a.order[i];
            int32_t touched = 0;
            for_each_tile<Family>(a, id, [&](int tile) {
                ++counts[tile];
                ++touched;
            });
            a.slot_offsets[id + 1] = touched;
        }
    });
    int64_t total = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
        a.tile_offsets[tile] = int32_t(total);
        for (int chunk = 0; chunk < kBinChunks; ++chunk) {
            int32_t& cell = a.histogram[chunk * tiles + tile];
            const int32_t here = cell;
            cell = int32_t(total);
            total += here;
        }
    }
    a.tile_offsets[tiles] = int32_t(total);
    for (int64_t i = 0; i < a.count; ++i) a.slot_offsets[i + 1] += a.slot_offsets[i];
    *instances = total;
    return visible;
}

template <class Family, class Real>
void bin_fill(const BinArgs<Real>& a, int64_t visible) {
    const int64_t tiles = int64_t(a.tiles_x) * a.tiles_y;
    parallel_for(kBinChunks, [&](int64_t chunk, int) {
        int32_t* cursor = a.histogram + chunk * tiles;
        for (int64_t i = visible * chunk / kBinChunks; i < visible * (chunk + 1) / kBinChunks; ++i) {
            const int32_t id = a.order[i];
            int32_t slot = a.slot_offsets[id];
            for_each_tile<Family>(a, id, [&](int tile) {
                int32_t* instance = a.instances + 2 * int64_t(cursor[tile]++);
                instance[0] = id;
                instance[1] = slot++;
            });
        }
    });
}

}  // namespace RECON_ISA
}  // namespace recon
