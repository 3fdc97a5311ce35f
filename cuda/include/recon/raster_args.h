// Parameters of the rasteriser's passes, the same for CPU and GPU drivers. Plain pointers; the caller owns all memory.
//
// N primitives, C = channels, a W x H image in tiles_x x tiles_y tiles of 16 x 16 pixels, M instances (a primitive in a
// tile). Images are channel-major. Every array is contiguous.
#pragma once

#include <cstdint>

namespace recon {

constexpr int kTile = 16;          // px
constexpr int kGeometryWidth = 8;  // x, y, A, B, C, log2 opacity, depth, 0: alpha = 2^(lo - A dx^2 - B dx dy - C dy^2)
constexpr int kMomentWidth = 9;    // sums of g, g dx, g dy, g dx^2, g dx dy, g dy^2, |d/dx|, |d/dy|, v_depth
constexpr int kMaxChannels = 32;

template <class Real>
struct ProjectArgs {
    int64_t count = 0;              // N
    int width = 0, height = 0;      // px
    int sh_degree = 0;              // degree to evaluate
    int sh_coefficients = 1;        // stored per channel, >= (sh_degree + 1)^2
    int features = 0;               // extra channels
    bool depth = false, normal = false;  // which channels follow the colour: depth (1), normal (3), features
    bool antialias = false;
    Real near_plane = 0, far_plane = 0, eps2d = 0;

    const Real* means = nullptr;           // [N, 3]
    const Real* quats = nullptr;           // [N, 4] wxyz
    const Real* log_scales = nullptr;      // [N, 3]
    const Real* opacity_logits = nullptr;  // [N]
    const Real* sh_coeffs = nullptr;       // [N, sh_coefficients, 3]
    const Real* feature_values = nullptr;  // [N, features]
    const Real* world_to_camera = nullptr; // [4, 4]
    const Real* K = nullptr;               // [3, 3]

    Real* geometry = nullptr;              // [N, kGeometryWidth]
    Real* channel_values = nullptr;        // [N, C]
    Real* half_extents = nullptr;          // [N, 2] px; 0 when invisible
    int32_t* radii = nullptr;              // [N] px; 0 when invisible

    int channels() const { return 3 + (depth ? 1 : 0) + (normal ? 3 : 0) + features; }
};

template <class Real>
struct ProjectBackwardArgs {
    const int32_t* slot_offsets = nullptr;  // [N + 1]
    const Real* moments = nullptr;          // [M, kMomentWidth + C], slots of one primitive side by side

    Real* v_means = nullptr;           // [N, 3]
    Real* v_quats = nullptr;           // [N, 4]
    Real* v_log_scales = nullptr;      // [N, 3]
    Real* v_opacity_logits = nullptr;  // [N]
    Real* v_sh_coeffs = nullptr;       // [N, sh_coefficients, 3]
    Real* v_feature_values = nullptr;  // [N, features]
    Real* v_world_to_camera = nullptr; // [4, 4], last row 0
    Real* v_probe = nullptr;           // [N, 4] or null: dL/dx, dL/dy and the sums of their absolute values per pixel
};

template <class Real>
struct BinArgs {
    int64_t count = 0;
    int width = 0, height = 0, tiles_x = 0, tiles_y = 0;
    const Real* geometry = nullptr;      // [N, kGeometryWidth]
    const Real* half_extents = nullptr;  // [N, 2]
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
    bool median = false;                // median depth wanted
    bool absolute = false;              // absolute gradient sums wanted (backward)
    Real alpha_max = 0;
    const Real* geometry = nullptr;        // [N, kGeometryWidth]
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
    Real* moments = nullptr;               // [M, kMomentWidth + C], by slot
};

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
    Real* parameter = nullptr;              // [rows, columns]
    const Real* gradient = nullptr;
    Real* exp_avg = nullptr;
    Real* exp_avg_sq = nullptr;
    const uint8_t* visible = nullptr;       // [rows] or null: rows to update
};

}  // namespace recon
