// One sweep of multi-view stereo: a thread owns a pixel, and neighbours of a warp those beside it.
#pragma once

#include "gpu/simt.h"
#include "recon/stereo_search.h"

namespace recon::gpu {

constexpr int kStereoThreads = 128;

RECON_KERNEL stereo_kernel(StereoArgs<float> a) {
    const int64_t i = int64_t(blockIdx.x) * kStereoThreads + threadIdx.x;
    if (i >= int64_t(a.width) * a.height) return;
    const int row = int(i / a.width), column = int(i - int64_t(row) * a.width);
    const int64_t at = (row + kStereoMargin) * a.stride + kStereoMargin + column;
    const int64_t map = (a.height + 2 * kStereoMargin) * a.stride;
    const FoundPlane<float> found = search_plane<float>(a, at, float(column) + 0.5f, float(row) + 0.5f);
    a.cost_out[at] = found.cost;
    a.planes_out[at] = found.plane.q;
    a.planes_out[map + at] = found.plane.x;
    a.planes_out[2 * map + at] = found.plane.y;
}

inline void stereo_sweep(const StereoArgs<float>& a, void* stream) {
    RECON_LAUNCH(stereo_kernel, (int64_t(a.width) * a.height + kStereoThreads - 1) / kStereoThreads, kStereoThreads, stream, a);
}

}  // namespace recon::gpu
