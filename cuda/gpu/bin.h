// Lists of primitives per tile, near to far, by two sorts: the primitives by depth, then their instances by tile, which keeps
// the order within a tile. Tiles have 16-bit numbers unless there are too many. A thread owns one primitive (and its place in
// the order), or one instance.
#pragma once

#include <cmath>

#include "gpu/args.h"
#include "gpu/simt.h"
#include "recon/footprint.h"

namespace recon::gpu {

constexpr int kBinThreads = 256;
template <class Key>
constexpr Key kLast = Key(~Key(0));  // key of what is not there

inline bool few_tiles(int64_t tiles) { return tiles < int64_t(kLast<uint16_t>); }

// Calls body(tile) for every tile with a pixel centre at which the primitive's alpha reaches kMinAlpha.
template <class Family, class Body>
RECON_DEVICE void for_each_tile(const GpuBinArgs& a, int64_t id, const Body& body) {
    const float *record = a.records + Family::kRecord * id, *box = a.boxes + 4 * id;
    if (!(box[0] <= box[1])) return;
    const auto first = [](float low, int size) { return low > 0 ? (low < float(size) ? int(ceilf(low)) : size) : 0; };
    const auto final = [](float high, int size) { return high >= 0 ? (high < float(size - 1) ? int(high) : size - 1) : -1; };
    const int x0 = first(box[0] - 0.5f, a.width), x1 = final(box[1] - 0.5f, a.width);
    const int y0 = first(box[2] - 0.5f, a.height), y1 = final(box[3] - 0.5f, a.height);
    if (x0 > x1 || y0 > y1) return;
    const int tx0 = x0 / kTile, tx1 = x1 / kTile, ty0 = y0 / kTile, ty1 = y1 / kTile;
    const bool single = tx0 == tx1 && ty0 == ty1;
    for (int ty = ty0; ty <= ty1; ++ty)
        for (int tx = tx0; tx <= tx1; ++tx) {
            const float left = float(tx * kTile) + 0.5f, top = float(ty * kTile) + 0.5f, span = float(kTile - 1);
            if (single || Family::may_reach(record, left, left + span, top, top + span)) body(ty * a.tiles_x + tx);
        }
}

template <class Family>
RECON_KERNEL depth_key_kernel(GpuBinArgs a) {
    const int64_t i = int64_t(blockIdx.x) * kBinThreads + threadIdx.x;
    if (i >= a.count) return;
    union {
        float depth;
        uint32_t bits;  // positive floats are ordered like integers
    } key;
    key.depth = a.records[Family::kRecord * i + 2];
    a.depth_keys[i] = a.boxes[4 * i] <= a.boxes[4 * i + 1] ? key.bits : kLast<uint32_t>;
    a.order[i] = int32_t(i);
}

template <class Family>
RECON_KERNEL count_kernel(GpuBinArgs a) {
    const int64_t place = int64_t(blockIdx.x) * kBinThreads + threadIdx.x;
    if (place >= a.count) return;
    const int32_t id = a.order[a.count + place];
    int32_t touched = 0;
    for_each_tile<Family>(a, id, [&](int) { ++touched; });
    a.tiles_touched[place] = touched;
    a.seen[id] = touched > 0;
}

template <class Family, class Key>
RECON_KERNEL emit_kernel(GpuBinArgs a) {
    Key* keys = static_cast<Key*>(a.tile_keys);
    const int64_t place = int64_t(blockIdx.x) * kBinThreads + threadIdx.x;
    if (place >= a.count) return;
    const int32_t id = a.order[a.count + place];
    int64_t slot = a.offsets[place] - a.tiles_touched[place];
    for_each_tile<Family>(a, id, [&](int tile) {
        if (slot < a.capacity) keys[slot] = Key(tile), a.instances[slot] = id;
        ++slot;
    });
}

// The rest of the buffer sorts to its end.
template <class Family, class Key>
RECON_KERNEL pad_kernel(GpuBinArgs a) {
    Key* keys = static_cast<Key*>(a.tile_keys);
    const int64_t i = int64_t(blockIdx.x) * kBinThreads + threadIdx.x;
    if (i < a.capacity && (a.count == 0 || i >= a.offsets[a.count - 1])) keys[i] = kLast<Key>, a.instances[i] = 0;
}

template <class Family, class Key>
RECON_KERNEL range_kernel(GpuBinArgs a) {
    const int64_t i = int64_t(blockIdx.x) * kBinThreads + threadIdx.x;
    if (i >= a.capacity) return;
    const Key* keys = static_cast<const Key*>(a.tile_keys) + a.capacity;
    const Key key = keys[i];
    if (key == kLast<Key>) return;
    if (i == 0 || keys[i - 1] != key) a.tile_ranges[2 * int64_t(key)] = int32_t(i);
    if (i + 1 == a.capacity || keys[i + 1] != key) a.tile_ranges[2 * int64_t(key) + 1] = int32_t(i + 1);
}

// Bits that tile numbers and kLast differ in.
inline int tile_bits(const GpuBinArgs& a) {
    int bits = 1;
    while ((int64_t(1) << bits) <= int64_t(a.tiles_x) * a.tiles_y) ++bits;
    return bits;
}

// Scratch that `bin` wants for these numbers of primitives and instances.
inline size_t bin_scratch_bytes(const GpuBinArgs& a) {
    size_t depth = 0, tile = 0, sum = 0;
    const auto tile_sort = [&](auto key) {
        using Key = decltype(key);
        simt::sort_pairs<Key>(nullptr, &tile, nullptr, nullptr, nullptr, nullptr, a.capacity, tile_bits(a), nullptr);
    };
    simt::sort_pairs<uint32_t>(nullptr, &depth, nullptr, nullptr, nullptr, nullptr, a.count, 32, nullptr);
    if (few_tiles(int64_t(a.tiles_x) * a.tiles_y))
        tile_sort(uint16_t());
    else
        tile_sort(uint32_t());
    simt::inclusive_sum(nullptr, &sum, nullptr, nullptr, a.count, nullptr);
    const size_t both = depth > tile ? depth : tile;
    return both > sum ? both : sum;
}

// Sorts by depth and counts: afterwards offsets[N - 1] is the number of instances there are.
template <class Family>
void bin_count(const GpuBinArgs& a, void* stream) {
    const int64_t blocks = (a.count + kBinThreads - 1) / kBinThreads;
    if (a.count == 0) return;
    size_t bytes = a.scratch_bytes;
    RECON_LAUNCH((depth_key_kernel<Family>), blocks, kBinThreads, stream, a);
    simt::sort_pairs(a.scratch, &bytes, a.depth_keys, a.depth_keys + a.count, a.order, a.order + a.count, a.count, 32, stream);
    RECON_LAUNCH((count_kernel<Family>), blocks, kBinThreads, stream, a);
    simt::inclusive_sum(a.scratch, &bytes, a.tiles_touched, a.offsets, a.count, stream);
}

template <class Family, class Key>
void fill_lists(const GpuBinArgs& a, void* stream) {
    const int64_t blocks = (a.capacity + kBinThreads - 1) / kBinThreads;
    size_t bytes = a.scratch_bytes;
    Key* keys = static_cast<Key*>(a.tile_keys);
    RECON_LAUNCH((emit_kernel<Family, Key>), (a.count + kBinThreads - 1) / kBinThreads, kBinThreads, stream, a);
    RECON_LAUNCH((pad_kernel<Family, Key>), blocks, kBinThreads, stream, a);
    simt::sort_pairs(a.scratch, &bytes, keys, keys + a.capacity, a.instances, a.instances + a.capacity, a.capacity, tile_bits(a), stream);
    RECON_LAUNCH((range_kernel<Family, Key>), blocks, kBinThreads, stream, a);
}

// Emits up to `capacity` instances and sorts them by tile.
template <class Family>
void bin_fill(const GpuBinArgs& a, void* stream) {
    const int64_t tiles = int64_t(a.tiles_x) * a.tiles_y;
    simt::fill_bytes(a.tile_ranges, 0, size_t(tiles) * 2 * sizeof(int32_t), stream);
    if (a.count == 0 || a.capacity == 0) return;
    if (few_tiles(tiles))
        fill_lists<Family, uint16_t>(a, stream);
    else
        fill_lists<Family, uint32_t>(a, stream);
}

}  // namespace recon::gpu
