// The mesh rasteriser.
#include "gpu/kernels.h"
#include "gpu/mesh.h"

namespace recon::gpu {

void run_mesh_rasterize(const MeshView<float>& view, uint64_t* keys, int32_t* face_ids, float* depth, float* barycentrics, void* stream) {
    mesh_rasterize(view, keys, face_ids, depth, barycentrics, stream);
}
void run_mesh_rasterize_backward(const MeshView<float>& view, const int32_t* face_ids, const float* v_depth, const float* v_barycentrics,
                                 float* v_q, void* stream) {
    mesh_rasterize_backward(view, face_ids, v_depth, v_barycentrics, v_q, stream);
}
void run_interpolate(const InterpolateArgs<float>& a, float* out, void* stream) { interpolate(a, out, stream); }
void run_interpolate_backward(const InterpolateArgs<float>& a, const float* v_out, float* v_attributes, float* v_barycentrics, void* stream) {
    interpolate_backward(a, v_out, v_attributes, v_barycentrics, stream);
}
void run_find_silhouettes(const AntialiasArgs<float>& a, Silhouette* found, void* stream) { find_silhouettes(a, found, stream); }
void run_antialias(const MeshView<float>& view, const Silhouette* found, int64_t count, const float* image, int channels, float* out, void* stream) {
    antialias(view, found, count, image, channels, out, stream);
}
void run_antialias_backward(const MeshView<float>& view, const Silhouette* found, int64_t count, const float* image, int channels,
                            const float* v_out, float* v_image, float* v_q, void* stream) {
    antialias_backward(view, found, count, image, channels, v_out, v_image, v_q, stream);
}

}  // namespace recon::gpu
