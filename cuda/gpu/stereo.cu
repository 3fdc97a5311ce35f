// Multi-view stereo.
#include "gpu/kernels.h"
#include "gpu/stereo.h"

namespace recon::gpu {

void run_stereo_sweep(const StereoArgs<float>& a, void* stream) { stereo_sweep(a, stream); }

}  // namespace recon::gpu
