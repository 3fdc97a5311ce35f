// What the extraction of surfaces is given, and its gradient.
#pragma once

#include <cstdint>

namespace recon {

template <class Real>
struct FlexiCubesArgs {
    int64_t voxels = 0, layers = 0;
    const int64_t* layer_starts = nullptr;   // [layers + 1] first voxel of each layer; a GPU needs none, each voxel is one
    const int32_t* voxel_corners = nullptr;  // [voxels, 8]
    const int32_t* corner_voxel = nullptr;   // [corners] the voxel whose corner 0 it is, or -1
    const int32_t* corners = nullptr;        // [corners, 3] lattice coordinates
    Real origin[3] = {}, voxel_size = 1;
    const Real* sdf = nullptr;               // [corners]
    const Real* offsets = nullptr;           // [corners, 3] displacement of the corners, or null
    const Real* alpha = nullptr;             // [voxels, 8] unbounded corner weights, or null
    const Real* beta = nullptr;              // [voxels, 12] unbounded edge weights, or null
    const Real* gamma = nullptr;             // [voxels] unbounded weights of the quads' diagonals, or null
    bool training = false;                   // four triangles about a quad's centre instead of two
    // Filled by the count, read by what follows.
    uint8_t* cases = nullptr;                // [voxels]
    int32_t* first_vertex = nullptr;         // [voxels] number of the first dual vertex
    int64_t* quad_starts = nullptr;          // [layers + 1]
};

struct SurfaceSize {
    int64_t duals, quads;
};

template <class Real>
struct FlexiCubesGradient {
    const Real* vertices = nullptr;    // [duals (+ quads), 3] as returned
    const Real* v_vertices = nullptr;  // the same shape
    const Real* v_deviation = nullptr; // [duals] or null
    Real* v_sdf = nullptr;             // [corners], zeroed
    Real* v_offsets = nullptr;         // zeroed, or null when not wanted; so are the others
    Real* v_alpha = nullptr;
    Real* v_beta = nullptr;
    Real* v_gamma = nullptr;
};

}  // namespace recon
