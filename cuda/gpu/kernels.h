// The GPU driver's entry points, one table per family. A stream is a cudaStream_t; nothing here waits for the device.
#pragma once

#include "gpu/args.h"
#include "recon/flexicubes_args.h"
#include "recon/mesh_args.h"
#include "recon/stereo_args.h"
#include "recon/training_args.h"

namespace recon::gpu {

struct FamilyKernels {
    const char* name;
    void (*project_forward)(const ProjectArgs<float>&, void* stream);
    void (*project_backward)(const ProjectArgs<float>&, const ProjectBackwardArgs<float>&, const uint8_t* seen, double* camera_total, void* stream);
    void (*bin_count)(const GpuBinArgs&, void* stream);
    void (*bin_fill)(const GpuBinArgs&, void* stream);
    void (*rasterize_forward)(const GpuRasterArgs&, void* stream);
    void (*rasterize_backward)(const GpuRasterArgs&, void* stream);
};

// In the order of families.h, ended by null.
const FamilyKernels* const* families();
size_t bin_scratch_bytes(int64_t count, int64_t capacity, int tiles);
int tile_key_bytes(int tiles);

void run_stereo_sweep(const StereoArgs<float>&, void* stream);

// See gpu/mesh.h.
void run_mesh_rasterize(const MeshView<float>&, uint64_t* keys, int32_t* face_ids, float* depth, float* barycentrics, void* stream);
void run_mesh_rasterize_backward(const MeshView<float>&, const int32_t* face_ids, const float* v_depth, const float* v_barycentrics, float* v_q, void* stream);
void run_interpolate(const InterpolateArgs<float>&, float* out, void* stream);
void run_interpolate_backward(const InterpolateArgs<float>&, const float* v_out, float* v_attributes, float* v_barycentrics, void* stream);
void run_find_silhouettes(const AntialiasArgs<float>&, Silhouette* found, void* stream);
void run_antialias(const MeshView<float>&, const Silhouette* found, int64_t count, const float* image, int channels, float* out, void* stream);
void run_antialias_backward(const MeshView<float>&, const Silhouette* found, int64_t count, const float* image, int channels, const float* v_out,
                            float* v_image, float* v_q, void* stream);

// See gpu/flexicubes.h.
size_t flexicubes_scratch_bytes(int64_t voxels);
void run_flexicubes_count(const FlexiCubesArgs<float>&, uint8_t* raw, int32_t* counts, int64_t* sums, void* scratch, size_t bytes, void* stream);
void run_flexicubes_fill(const FlexiCubesArgs<float>&, int64_t duals, float* vertices, int32_t* faces, float* deviation, void* stream);
void run_flexicubes_backward(const FlexiCubesArgs<float>&, const FlexiCubesGradient<float>&, int64_t duals, float* v_dual, void* stream);

void run_adam(const AdamArgs<float>&, void* stream);
// total: 3 numbers of scratch.   out: loss, weighted mean |a - b|, weighted mean SSIM, on the device.
void run_image_loss(const ImageLossArgs<float>&, double* total, float* out, void* stream);

}  // namespace recon::gpu
