// What the forward and the backward pass over a tile share: its geometry, staged primitives, and the one place where
// alpha is computed, so that the two passes cannot disagree about who contributes.
//
// A tile of 16x16 pixels is 16 blocks of 4x4 pixels, and a block is one pack. Staging copies a batch of the tile's
// primitives into contiguous records and finds, for all 16 blocks at once, which of them each primitive can reach.
#pragma once

#include "cpu/block_evaluator.h"
#include "cpu/convex_block.h"
#include "recon/footprint.h"
#include "recon/raster_args.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kBlocks = 16;   // per tile
constexpr int kBlock = 4;     // px

template <class Family, class Real, int Channels>
struct Staged {
    Real record[Family::kRecord];
    Real channel[Channels];
};

template <class Real>
struct TileFrame {
    int x0, y0, width, height;  // px: corner of the tile, size of the image

    RECON_HD TileFrame(const RasterArgs<Real>& a, int64_t tile)
        : x0(int(tile % a.tiles_x) * kTile), y0(int(tile / a.tiles_x) * kTile), width(a.width), height(a.height) {}

    RECON_HD int block_x(int block) const { return x0 + (block % kBlock) * kBlock; }
    RECON_HD int block_y(int block) const { return y0 + (block / kBlock) * kBlock; }
    RECON_HD bool on_image(int block) const { return block_x(block) < width && block_y(block) < height; }

    RECON_HD Pack<Real> pixel_x(int block) const {
        alignas(64) static const Real kX[kLanes] = {0.5, 1.5, 2.5, 3.5, 0.5, 1.5, 2.5, 3.5, 0.5, 1.5, 2.5, 3.5, 0.5, 1.5, 2.5, 3.5};
        return Pack<Real>::load(kX) + Pack<Real>(Real(block_x(block)));
    }
    RECON_HD Pack<Real> pixel_y(int block) const {
        alignas(64) static const Real kY[kLanes] = {0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5, 1.5, 2.5, 2.5, 2.5, 2.5, 3.5, 3.5, 3.5, 3.5};
        return Pack<Real>::load(kY) + Pack<Real>(Real(block_y(block)));
    }
    // Lanes whose pixel exists.
    RECON_HD PackMask<Real> inside(int block) const {
        return (pixel_x(block) < Pack<Real>(Real(width))) & (pixel_y(block) < Pack<Real>(Real(height)));
    }
    // Reads a block of an image plane; lanes outside get 0.
    template <class Value>
    RECON_HD Pack<Real> load(const Value* plane, int block) const {
        alignas(64) Real lanes[kLanes] = {};
        const int bx = block_x(block), by = block_y(block);
        const int columns = width - bx < kBlock ? width - bx : kBlock, rows = height - by < kBlock ? height - by : kBlock;
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) lanes[kBlock * r + c] = Real(plane[int64_t(by + r) * width + bx + c]);
        return Pack<Real>::load(lanes);
    }
    template <class Value>
    RECON_HD void store(const Pack<Real>& pack, Value* plane, int block) const {
        alignas(64) Real lanes[kLanes];
        pack.store(lanes);
        const int bx = block_x(block), by = block_y(block);
        const int columns = width - bx < kBlock ? width - bx : kBlock, rows = height - by < kBlock ? height - by : kBlock;
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) plane[int64_t(by + r) * width + bx + c] = Value(lanes[kBlock * r + c]);
    }
};

// Bit b is set when the primitive's alpha can reach kMinAlpha at a pixel centre of block b.
template <class Family, class Real>
RECON_HD uint32_t reachable_blocks(const Real* record, Real tile_x, Real tile_y) {
    using P = Pack<Real>;
    alignas(64) static const Real kX[kLanes] = {0.5, 4.5, 8.5, 12.5, 0.5, 4.5, 8.5, 12.5, 0.5, 4.5, 8.5, 12.5, 0.5, 4.5, 8.5, 12.5};
    alignas(64) static const Real kY[kLanes] = {0.5, 0.5, 0.5, 0.5, 4.5, 4.5, 4.5, 4.5, 8.5, 8.5, 8.5, 8.5, 12.5, 12.5, 12.5, 12.5};
    const P x0 = P::load(kX) + P(tile_x), y0 = P::load(kY) + P(tile_y), span = P(Real(kBlock - 1));
    return Family::may_reach(record, x0, x0 + span, y0, y0 + span).bits();
}

template <class Family, class Real, int Channels>
struct Batch {
    using Evaluator = BlockEvaluator<Family, Real>;
    static constexpr int kBatch = Evaluator::kBatch;
    Staged<Family, Real, Channels> primitive[kBatch];
    int32_t slot[kBatch];
    uint16_t blocks[kBatch];

    RECON_HD void stage(const RasterArgs<Real>& a, const TileFrame<Real>& frame, int64_t begin, int count) {
        for (int k = 0; k < count; ++k) {
            const int64_t id = a.instances[2 * (begin + k)];
            slot[k] = a.instances[2 * (begin + k) + 1];
            const Real* record = a.records + Family::kRecord * id;
            std::memcpy(primitive[k].record, record, sizeof(primitive[k].record));
            const Real* values = a.channel_values + a.channels * id;
            for (int c = 0; c < Channels; ++c) primitive[k].channel[c] = c < a.channels ? values[c] : Real(0);
            blocks[k] = uint16_t(reachable_blocks<Family>(record, Real(frame.x0), Real(frame.y0)));
        }
    }
};

}  // namespace RECON_ISA
}  // namespace recon
