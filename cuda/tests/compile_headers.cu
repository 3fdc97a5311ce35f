// Compiles the shared maths for a GPU: instantiates both directions of the Gaussian footprint in a kernel.
#include "recon/gaussian.h"
#include "recon/raster_args.h"

namespace recon {

__global__ void footprints(const Gaussian<float>* in, const Camera<float>* camera, FootprintGradient<float>* v,
                           Footprint<float>* out, GaussianGradient<float>* gradients, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    out[i] = gaussian_footprint(in[i], *camera);
    gradients[i] = gaussian_footprint_vjp(in[i], *camera, v[i]);
    float basis[kMaxShCoefficients];
    sh_basis(3, in[i].mean, basis);
    gradients[i].mean = gradients[i].mean + sh_basis_vjp(3, in[i].mean, basis);
}

}  // namespace recon
