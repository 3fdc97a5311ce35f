// Extraction of surfaces from sparse voxels, and its gradient: a thread owns a voxel, its dual vertices and its three quads.
// Vertices and quads are numbered by voxel, as on the CPU, so that both give the same mesh; what voxels share is added up in
// no fixed order.
#pragma once

#include "gpu/simt.h"
#include "recon/flexicubes_cube.h"

namespace recon::gpu {

constexpr int kCubeThreads = 128;
constexpr CubeTable kHostTable = make_cube_table();
RECON_CONSTANT CubeTable kTable = kHostTable;

inline int64_t cube_blocks(int64_t voxels) { return (voxels + kCubeThreads - 1) / kCubeThreads; }
RECON_DEVICE int64_t own_voxel() { return int64_t(blockIdx.x) * kCubeThreads + threadIdx.x; }

RECON_KERNEL case_kernel(FlexiCubesArgs<float> a, uint8_t* raw) {
    const int64_t v = own_voxel();
    if (v < a.voxels) raw[v] = a.cases[v] = inside_of(a, v);
}

RECON_KERNEL ambiguity_kernel(FlexiCubesArgs<float> a, const uint8_t* raw) {
    const int64_t v = own_voxel();
    if (v >= a.voxels) return;
    const int64_t next = ambiguous_neighbour(a, kTable, raw, v);
    if (next >= 0) a.cases[v] = uint8_t(255 - raw[v]), a.cases[next] = uint8_t(255 - raw[next]);
}

RECON_KERNEL dual_count_kernel(FlexiCubesArgs<float> a, int32_t* counts) {
    const int64_t v = own_voxel();
    if (v < a.voxels) counts[v] = kTable.cases[a.cases[v]].duals;
}

RECON_KERNEL first_vertex_kernel(FlexiCubesArgs<float> a, const int32_t* counts, const int64_t* sums) {
    const int64_t v = own_voxel();
    if (v < a.voxels) a.first_vertex[v] = int32_t(sums[v] - counts[v]);
}

RECON_KERNEL quad_count_kernel(FlexiCubesArgs<float> a, int32_t* counts) {
    const int64_t v = own_voxel();
    if (v >= a.voxels) return;
    Quad quad;
    int32_t count = 0;
    for (int axis = 0; axis < 3; ++axis) count += Quad::find(a, kTable, v, axis, quad);
    counts[v] = count;
}

inline size_t cube_scratch_bytes(int64_t voxels) {
    size_t bytes = 0;
    simt::inclusive_sum(nullptr, &bytes, nullptr, nullptr, voxels, nullptr);
    return bytes;
}

// a.quad_starts: [voxels + 1].   raw: [voxels], counts: [voxels], sums: [voxels] and scratch are the caller's; afterwards the last
// of `sums` is the number of dual vertices, and the last of quad_starts that of quads. There is at least one voxel.
inline void flexicubes_count(const FlexiCubesArgs<float>& a, uint8_t* raw, int32_t* counts, int64_t* sums, void* scratch, size_t bytes,
                             void* stream) {
    const int64_t blocks = cube_blocks(a.voxels);
    RECON_LAUNCH(case_kernel, blocks, kCubeThreads, stream, a, raw);
    RECON_LAUNCH(ambiguity_kernel, blocks, kCubeThreads, stream, a, raw);
    RECON_LAUNCH(dual_count_kernel, blocks, kCubeThreads, stream, a, counts);
    simt::inclusive_sum(scratch, &bytes, counts, sums, a.voxels, stream);
    RECON_LAUNCH(first_vertex_kernel, blocks, kCubeThreads, stream, a, counts, sums);
    RECON_LAUNCH(quad_count_kernel, blocks, kCubeThreads, stream, a, counts);
    simt::fill_bytes(a.quad_starts, 0, sizeof(int64_t), stream);
    simt::inclusive_sum(scratch, &bytes, counts, a.quad_starts + 1, a.voxels, stream);
}

RECON_KERNEL dual_kernel(FlexiCubesArgs<float> a, float* vertices, float* deviation) {
    const int64_t v = own_voxel();
    if (v < a.voxels) place_duals(a, kTable, v, vertices, deviation);
}

RECON_KERNEL quad_kernel(FlexiCubesArgs<float> a, int64_t duals, float* vertices, int32_t* faces) {
    const int64_t v = own_voxel();
    if (v >= a.voxels) return;
    int64_t number = a.quad_starts[v];
    Quad quad;
    for (int axis = 0; axis < 3; ++axis)
        if (Quad::find(a, kTable, v, axis, quad)) place_quad(a, quad, duals, number++, vertices, faces);
}

inline void flexicubes_fill(const FlexiCubesArgs<float>& a, int64_t duals, float* vertices, int32_t* faces, float* deviation, void* stream) {
    RECON_LAUNCH(dual_kernel, cube_blocks(a.voxels), kCubeThreads, stream, a, vertices, deviation);
    RECON_LAUNCH(quad_kernel, cube_blocks(a.voxels), kCubeThreads, stream, a, duals, vertices, faces);
}

RECON_KERNEL quad_gradient_kernel(FlexiCubesArgs<float> a, FlexiCubesGradient<float> g, int64_t duals, float* v_dual) {
    const int64_t v = own_voxel();
    if (v >= a.voxels) return;
    int64_t centre = duals + a.quad_starts[v];
    Quad quad;
    for (int axis = 0; axis < 3; ++axis)
        if (Quad::find(a, kTable, v, axis, quad))
            quad_gradient(a, g, quad, centre++, v_dual, [](float* to, float value) { simt::add(to, value); });
}

RECON_KERNEL cube_gradient_kernel(FlexiCubesArgs<float> a, FlexiCubesGradient<float> g, const float* v_dual) {
    const int64_t v = own_voxel();
    if (v < a.voxels) cube_gradient(a, kTable, g, v, v_dual, [](float* to, float value) { simt::add(to, value); });
}

// v_dual: [duals, 3] starts as a copy of the first rows of v_vertices.
inline void flexicubes_backward(const FlexiCubesArgs<float>& a, const FlexiCubesGradient<float>& g, int64_t duals, float* v_dual, void* stream) {
    if (a.training) RECON_LAUNCH(quad_gradient_kernel, cube_blocks(a.voxels), kCubeThreads, stream, a, g, duals, v_dual);
    RECON_LAUNCH(cube_gradient_kernel, cube_blocks(a.voxels), kCubeThreads, stream, a, g, v_dual);
}

}  // namespace recon::gpu
