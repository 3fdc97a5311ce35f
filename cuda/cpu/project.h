// Projection of all primitives, forward and backward: sixteen primitives per pack, chunks of them per task.
#pragma once

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/primitive.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kProjectChunk = 512;  // primitives per task; a multiple of kLanes, fixed so that sums do not depend on threads

// Rows i .. i + count - 1 of an array, one per lane.
template <class Real>
struct Lanes {
    using P = Pack<Real>;
    int count;

    RECON_HD P load(const Real* p, int64_t stride) const { return P::gather(p, stride, count); }
    RECON_HD void store(const P& value, Real* p, int64_t stride) const { value.scatter(p, stride, count); }
    RECON_HD void store_rounded_up(const P& value, int32_t* p) const {
        for (int l = 0; l < count; ++l) p[l] = value[l] > 0 ? int32_t(value[l]) + 1 : 0;
    }
};

template <class Family, class Real>
void project_forward(const ProjectArgs<Real>& a) {
    const Camera<Real> camera = camera_of(a);
    parallel_for((a.count + kProjectChunk - 1) / kProjectChunk, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kProjectChunk, end = begin + kProjectChunk < a.count ? begin + kProjectChunk : a.count;
        for (int64_t i = begin; i < end; i += kLanes)
            project_primitive<Family, Pack<Real>>(a, camera, i, Lanes<Real>{int(end - i < kLanes ? end - i : kLanes)});
    });
}

template <class Family, class Real>
void project_group_backward(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, const Camera<Real>& camera,
                            int64_t i, const Lanes<Real>& at, Pack<Real>* camera_sums) {
    using P = Pack<Real>;
    constexpr int kMaxWidth = Family::kMoments + kExtraMoments + kMaxChannels;
    const int width = Family::kMoments + (b.extra ? kExtraMoments : 0) + a.channels();
    const int largest = b.extra ? Family::kMoments + 2 : -1;  // the one that is not a sum
    if (b.slot_offsets[i] == b.slot_offsets[i + at.count]) return clear_gradients<Family, P>(a, b, i, at);

    // Combine the slots of each primitive, in order.
    alignas(64) Real sums[kLanes][kMaxWidth] = {};
    alignas(64) typename P::Int lane_seen[kLanes] = {};
    for (int l = 0; l < at.count; ++l) {
        if (b.slot_offsets[i + l] < b.slot_offsets[i + l + 1]) lane_seen[l] = -1;
        for (int64_t slot = b.slot_offsets[i + l]; slot < b.slot_offsets[i + l + 1]; ++slot) {
            const Real* moments = b.moments + slot * width;
            const Real before = largest >= 0 ? sums[l][largest] : Real(0);
            for (int k = 0; k < width; ++k) sums[l][k] += moments[k];
            if (largest >= 0) sums[l][largest] = before > moments[largest] ? before : moments[largest];
        }
    }
    PackMask<Real> seen;
    std::memcpy(seen.m, lane_seen, sizeof(seen.m));
    P packed[kMaxWidth];
    for (int k = 0; k < width; ++k) packed[k] = P::gather(&sums[0][k], kMaxWidth, kLanes);
    project_primitive_backward<Family, P>(a, b, camera, i, at, packed, seen, camera_sums);
}

// `partial` holds kCameraSums values for each of the ceil(N / kProjectChunk) tasks.
template <class Family, class Real>
void project_backward(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, Real* partial) {
    using P = Pack<Real>;
    const Camera<Real> camera = camera_of(a);
    const int64_t chunks = (a.count + kProjectChunk - 1) / kProjectChunk;
    parallel_for(chunks, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kProjectChunk, end = begin + kProjectChunk < a.count ? begin + kProjectChunk : a.count;
        P sums[kCameraSums];
        for (P& sum : sums) sum = P(Real(0));
        for (int64_t i = begin; i < end; i += kLanes)
            project_group_backward<Family>(a, b, camera, i, Lanes<Real>{int(end - i < kLanes ? end - i : kLanes)}, sums);
        sum_lanes<kCameraSums>(sums, partial + kCameraSums * chunk);
    });
    if (!b.v_world_to_camera) return;
    double total[kCameraSums] = {};
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int k = 0; k < kCameraSums; ++k) total[k] += double(partial[kCameraSums * chunk + k]);
    finish_camera_gradient(a.world_to_camera, total, b.v_world_to_camera);
}

}  // namespace RECON_ISA
}  // namespace recon
