// Extraction of surfaces.
#include "gpu/flexicubes.h"
#include "gpu/kernels.h"

namespace recon::gpu {

size_t flexicubes_scratch_bytes(int64_t voxels) { return cube_scratch_bytes(voxels); }
void run_flexicubes_count(const FlexiCubesArgs<float>& a, uint8_t* raw, int32_t* counts, int64_t* sums, void* scratch, size_t bytes, void* stream) {
    flexicubes_count(a, raw, counts, sums, scratch, bytes, stream);
}
void run_flexicubes_fill(const FlexiCubesArgs<float>& a, int64_t duals, float* vertices, int32_t* faces, float* deviation, void* stream) {
    flexicubes_fill(a, duals, vertices, faces, deviation, stream);
}
void run_flexicubes_backward(const FlexiCubesArgs<float>& a, const FlexiCubesGradient<float>& g, int64_t duals, float* v_dual, void* stream) {
    flexicubes_backward(a, g, duals, v_dual, stream);
}

}  // namespace recon::gpu
