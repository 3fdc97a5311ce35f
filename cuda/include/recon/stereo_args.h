// What one sweep of multi-view stereo is called with. All memory is the caller's.
#pragma once

#include <cstdint>

namespace recon {

constexpr int kMaxStereoSources = 8;
constexpr int kMaxStereoSamples = 49;
constexpr int kStereoMargin = 16;  // px around the reference's maps, so that neighbours need no bounds

// A photo to compare with. Matrices are row-major; h is (u z, v z, z) in its pixels.
template <class Real>
struct StereoSource {
    int width = 0, height = 0;
    const uint32_t* quads = nullptr;        // [H, W] grey values of (x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1), low byte first
    const Real* inverse_depth = nullptr;    // [H, W] of the source's own view, 0 where unknown; or null
    Real from_ray[9], from_center[3];       // h = from_ray (ray of the reference) + from_center (inverse depth)
    Real to_reference[9], to_center[3];     // and back: h' = to_reference (u, v, 1) + to_center (the source's inverse depth)
};

// Maps of the reference are [.., H + 2 margin, stride], stride >= W + 2 margin + a pack.
template <class Real>
struct StereoArgs {
    int width = 0, height = 0;
    int64_t stride = 0;
    Real fx = 0, fy = 0, cx = 0, cy = 0;    // px
    const Real* image = nullptr;            // grey values in [0, 255]
    const Real* planes = nullptr;           // [3, ..]: inverse depth at the pixel, and its slopes along x and y per px
    const Real* cost = nullptr;             // of `planes`; null: only find it
    const Real* noise = nullptr;            // [3, ..] in [-1, 1]
    Real* planes_out = nullptr;
    Real* cost_out = nullptr;
    Real smallest = 0, largest = 0;         // range of inverse depths
    Real shake = 0;                         // size of the random changes, relative
    Real color_sigma = 0;                   // grey levels at which a neighbour counts 1/e
    Real geometric_weight = 0;              // cost per px by which the source's own depth disagrees
    int radius = 0, step = 1;               // px: window
    int best = 1;                           // sources whose costs are averaged, the best ones
    int source_count = 0;
    StereoSource<Real> sources[kMaxStereoSources];
};

}  // namespace recon
