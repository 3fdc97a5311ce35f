// Projection and shading: a thread owns one primitive, forward and backward.
#pragma once

#include "gpu/simt.h"
#include "recon/primitive.h"

namespace recon::gpu {

constexpr int kProjectThreads = 128;

// The row of one primitive.
struct Row {
    RECON_HD float load(const float* p, int64_t) const { return *p; }
    RECON_HD void store(float value, float* p, int64_t) const { *p = value; }
    RECON_HD void store_rounded_up(float value, int32_t* p) const { *p = value > 0 ? int32_t(value) + 1 : 0; }
};

template <class Family>
RECON_KERNEL project_kernel(ProjectArgs<float> a) {
    const int64_t i = int64_t(blockIdx.x) * kProjectThreads + threadIdx.x;
    if (i >= a.count) return;
    project_primitive<Family, float>(a, camera_of(a), i, Row{});
}

// Sums of the camera's gradient: over the warp by shuffles, over the block in shared memory, then one addition per block in double.
template <class Family>
RECON_KERNEL project_backward_kernel(ProjectArgs<float> a, ProjectBackwardArgs<float> b, const uint8_t* seen, double* camera_total) {
    const int64_t i = int64_t(blockIdx.x) * kProjectThreads + threadIdx.x;
    float sums[kCameraSums] = {};
    if (i < a.count) {
        const int width = Family::kMoments + (b.extra ? kExtraMoments : 0) + a.channels();
        if (seen[i])
            project_primitive_backward<Family, float>(a, b, camera_of(a), i, Row{}, b.moments + width * i, true, sums);
        else
            clear_gradients<Family, float>(a, b, i, Row{});
    }
    if (!b.v_world_to_camera) return;
    constexpr int kWarps = kProjectThreads / 32;
    RECON_SHARED float partial[kWarps][kCameraSums];
    for (int k = 0; k < kCameraSums; ++k) {
        for (int offset = 16; offset; offset /= 2) sums[k] += simt::shuffle_xor(sums[k], offset);
        if (simt::lane() == 0) partial[threadIdx.x / 32][k] = sums[k];
    }
    simt::sync_block();
    if (threadIdx.x >= kCameraSums) return;
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += double(partial[w][threadIdx.x]);
    simt::add(camera_total + threadIdx.x, total);
}

// Templated like all kernels, so that every family's object may hold it.
template <class Family>
RECON_KERNEL camera_kernel(const float* world_to_camera, const double* total, float* v_world_to_camera) {
    if (threadIdx.x == 0) finish_camera_gradient(world_to_camera, total, v_world_to_camera);
}

template <class Family>
void project_forward(const ProjectArgs<float>& a, void* stream) {
    RECON_LAUNCH((project_kernel<Family>), (a.count + kProjectThreads - 1) / kProjectThreads, kProjectThreads, stream, a);
}

template <class Family>
void project_backward(const ProjectArgs<float>& a, const ProjectBackwardArgs<float>& b, const uint8_t* seen, double* camera_total, void* stream) {
    if (b.v_world_to_camera) simt::fill_bytes(camera_total, 0, kCameraSums * sizeof(double), stream);
    RECON_LAUNCH((project_backward_kernel<Family>), (a.count + kProjectThreads - 1) / kProjectThreads, kProjectThreads, stream, a, b, seen,
                 camera_total);
    if (b.v_world_to_camera) RECON_LAUNCH((camera_kernel<Family>), 1, 32, stream, a.world_to_camera, camera_total, b.v_world_to_camera);
}

}  // namespace recon::gpu
