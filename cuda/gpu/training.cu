// What training needs besides the rasteriser.
#include "gpu/adam.h"
#include "gpu/image_loss.h"
#include "gpu/kernels.h"

namespace recon::gpu {

void run_adam(const AdamArgs<float>& a, void* stream) { adam(a, stream); }
void run_image_loss(const ImageLossArgs<float>& a, double* total, float* out, void* stream) { image_loss(a, total, out, stream); }

}  // namespace recon::gpu
