// Parameters of the rasteriser's passes, the same for CPU and GPU drivers. Plain pointers; the caller owns all memory.
//
// N primitives of a family F, C = channels, a W x H image in tiles_x x tiles_y tiles of 16 x 16 pixels, M instances (a
// primitive in a tile). Images are channel-major. Every array is contiguous.
#pragma once

#include <cstdint>

#include "recon/math.h"

namespace recon {

constexpr int kTile = 16;          // px
constexpr int kMaxChannels = 32;
constexpr int kMaxParameters = 5;
// Behind a family's own moments when `extra`: sums of |d/dx| and |d/dy|, largest blend weight, gradient of the depth.
constexpr int kExtraMoments = 4;
constexpr int kProbe = 2, kFullProbe = 5;  // dL/dx, dL/dy; then |dL/dx|, |dL/dy| summed over pixels, largest blend weight

template <class Real>
struct ProjectArgs {
    int64_t count = 0;              // N
    int width = 0, height = 0;      // px
    int points = 0;                 // per primitive, for families made of points
    int sh_degree = 0;              // degree to evaluate
    int sh_coefficients = 1;        // stored per channel, >= (sh_degree + 1)^2
    int features = 0;               // extra channels
    bool depth = false, normal = false;  // which channels follow the colour: depth (1), normal (3), features
    bool antialias = false;
    Real near_plane = 0, far_plane = 0, eps2d = 0;

    const Real* parameters[kMaxParameters] = {};  // [N, F::width(k)]
    const Real* sh_coeffs = nullptr;       // [N, sh_coefficients, 3]
    const Real* feature_values = nullptr;  // [N, features]
    const Real* world_to_camera = nullptr; // [4, 4]
    const Real* K = nullptr;               // [3, 3]

    Real* records = nullptr;               // [N, F::kRecord]
    Real* channel_values = nullptr;        // [N, C]
    Real* boxes = nullptr;                 // [N, 4] px: left, right, top, bottom; left > right when invisible
    int32_t* radii = nullptr;              // [N] px: half the larger side of the box; 0 when invisible

    RECON_HD int channels() const { return 3 + (depth ? 1 : 0) + (normal ? 3 : 0) + features; }
};

template <class Real>
struct ProjectBackwardArgs {
    const int32_t* slot_offsets = nullptr;  // [N + 1], or null: slot i belongs to primitive i
    const Real* moments = nullptr;          // [M, F::kMoments (+ kExtraMoments) + C], slots of one primitive side by side
    bool extra = false;
    int probe = 0;                          // columns of v_probe: 0, kProbe or kFullProbe (needs extra)

    Real* v_parameters[kMaxParameters] = {};  // [N, F::width(k)]
    Real* v_sh_coeffs = nullptr;       // [N, sh_coefficients, 3]
    Real* v_feature_values = nullptr;  // [N, features]
    Real* v_world_to_camera = nullptr; // [4, 4], last row 0
    Real* v_probe = nullptr;           // [N, probe]
};

template <class Real>
struct BinArgs {
    int64_t count = 0;
    int width = 0, height = 0, tiles_x = 0, tiles_y = 0;
    const Real* records = nullptr;       // [N, F::kRecord]
    const Real* boxes = nullptr;         // [N, 4]
    int32_t* order = nullptr;            // [N]: visible primitives, near to far
    int32_t* slot_offsets = nullptr;     // [N + 1]
    int32_t* tile_offsets = nullptr;     // [tiles + 1]
    int32_t* histogram = nullptr;        // [kBinChunks, tiles], scratch between counting and filling
    int32_t* instances = nullptr;        // [M, 2]: primitive, slot; by tile, near to far
};
constexpr int kBinChunks = 16;

template <class Real>
struct RasterArgs {
    int width = 0, height = 0, tiles_x = 0, tiles_y = 0;
    int channels = 0;
    bool depth = false;                 // channel 3 is the depth
    bool extra = false;                 // moments hold kExtraMoments (backward)
    Real alpha_max = 0;
    const Real* records = nullptr;         // [N, F::kRecord]
    const Real* channel_values = nullptr;  // [N, C]
    const int32_t* tile_offsets = nullptr; // [tiles + 1]
    const int32_t* instances = nullptr;    // [M, 2]
    const Real* background = nullptr;      // [C] or null for 0

    Real* image = nullptr;          // [C, H, W]
    Real* transmittance = nullptr;  // [H, W]: what passes through all primitives, 1 - alpha
    int32_t* last = nullptr;        // [H, W]: 1 + place in the tile's list of the last contribution
    Real* median_depth = nullptr;   // [H, W] or null; 0 where the transmittance never falls to 0.5
    int32_t* median_place = nullptr; // [H, W] or null; 1 + place of that primitive

    const Real* v_image = nullptr;         // [C, H, W]
    const Real* v_alpha = nullptr;         // [H, W] or null
    const Real* v_median_depth = nullptr;  // [H, W] or null
    Real* moments = nullptr;               // [M, F::kMoments (+ kExtraMoments) + C], by slot
};

}  // namespace recon
