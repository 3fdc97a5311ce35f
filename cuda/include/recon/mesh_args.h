// What the passes of the mesh rasteriser are given. Vertices are homogeneous pixel coordinates (see recon/mesh_triangle.h).
#pragma once

#include <cstdint>

namespace recon {

template <class Real>
struct MeshView {
    int64_t vertices = 0, faces = 0;
    int width = 0, height = 0;
    Real near = 0;                  // nearer surfaces are cut away
    const Real* q = nullptr;        // [vertices, 3]
    const int32_t* index = nullptr; // [faces, 3]
};

template <class Real>
struct InterpolateArgs {
    int64_t pixels = 0, faces = 0, rows = 0;  // rows of `attributes`
    int channels = 0;
    const int32_t* index = nullptr;      // [faces, 3] row of each corner; null: attributes are [faces, 3, channels]
    const Real* attributes = nullptr;    // [rows, channels]
    const int32_t* face_ids = nullptr;   // [pixels]
    const Real* barycentrics = nullptr;  // [pixels, 3]
};

// A silhouette between two neighbouring pixels: the edge's vertices and both pixels, the one of the nearer surface first.
struct Silhouette {
    int32_t a, b, near_pixel, far_pixel;
};

template <class Real>
struct AntialiasArgs {
    MeshView<Real> view;
    const int32_t* face_ids = nullptr;  // [H, W]
    const Real* depth = nullptr;        // [H, W]
    const int32_t* opposite = nullptr;  // [faces, 3]
};

}  // namespace recon
