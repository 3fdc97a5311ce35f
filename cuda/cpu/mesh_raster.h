// The mesh rasteriser's passes. Vertices are homogeneous pixel coordinates (see recon/mesh_triangle.h); whatever adds up over
// pixels goes face by face or line by line, so that results depend on no thread.
#pragma once

#include <cstdint>

#include "recon/mesh_args.h"

namespace recon {

// face_ids [H, W], -1 where empty; depth [H, W] and barycentrics [H, W, 3], 0 where empty. Of equal depths the lower id wins.
template <class Real>
void mesh_rasterize(const MeshView<Real>& view, int32_t* face_ids, Real* depth, Real* barycentrics);

// The covered pixels sorted by face: starts [faces + 1], pixels [starts[faces]] (room for all `count`).
void group_pixels(const int32_t* face_ids, int64_t count, int64_t faces, int32_t* starts, int32_t* pixels);

// v_q [vertices, 3] is overwritten; v_depth and v_barycentrics may be null.
template <class Real>
void mesh_rasterize_backward(const MeshView<Real>& view, const int32_t* starts, const int32_t* pixels, const Real* v_depth,
                             const Real* v_barycentrics, Real* v_q);

template <class Real>
void interpolate(const InterpolateArgs<Real>& args, Real* out);

// v_attributes [rows, channels] and v_barycentrics [pixels, 3] are overwritten; either may be null.
template <class Real>
void interpolate_backward(const InterpolateArgs<Real>& args, const int32_t* starts, const int32_t* grouped, const Real* v_out,
                          Real* v_attributes, Real* v_barycentrics);

// For each edge of each face (edge i lies opposite to corner i) the third vertex of the face across it; -1 at a boundary.
void opposite_vertices(const int32_t* index, int64_t faces, int64_t vertices, int32_t* opposite);

// Silhouettes of every row [H + 1 starts]; call with null `found` to count.
template <class Real>
int64_t find_silhouettes(const AntialiasArgs<Real>& args, int64_t* starts, Silhouette* found);

// Blends `image` [H, W, C] in place of a copy `out`: the pixel that a silhouette crosses takes its share of the neighbour.
template <class Real>
void antialias(const AntialiasArgs<Real>& args, const Silhouette* found, int64_t count, const Real* image, int channels, Real* out);

// v_image starts as a copy of v_out; v_q [vertices, 3] is overwritten.
template <class Real>
void antialias_backward(const AntialiasArgs<Real>& args, const Silhouette* found, int64_t count, const Real* image, int channels,
                        const Real* v_out, Real* v_image, Real* v_q);

}  // namespace recon
