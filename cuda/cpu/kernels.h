// The CPU driver's entry points: one table per instruction set and precision, with one table per family in it.
#pragma once

#include <cstdint>

#include "recon/raster_args.h"
#include "recon/stereo_args.h"
#include "recon/training_args.h"

namespace recon {

template <class Real>
struct FamilyKernels {
    const char* name;
    int parameters, record_width, moment_width;
    int widths[kMaxParameters];  // columns of each parameter; of a family made of points the most it has room for
    bool pixel_depth;
    void (*project_forward)(const ProjectArgs<Real>&);
    void (*project_backward)(const ProjectArgs<Real>&, const ProjectBackwardArgs<Real>&, Real* partial);
    int64_t (*bin_count)(const BinArgs<Real>&, int64_t* instances);
    void (*bin_fill)(const BinArgs<Real>&, int64_t visible);
    void (*rasterize_forward)(const RasterArgs<Real>&);
    void (*rasterize_backward)(const RasterArgs<Real>&);
};

template <class Real>
struct Kernels {
    const char* name;
    const FamilyKernels<Real>* const* families;  // family_count() of them
    void (*image_loss)(const ImageLossArgs<Real>&, double* out);
    void (*adam)(const AdamArgs<Real>&);
    void (*stereo_sweep)(const StereoArgs<Real>&);
};

// Length of project_backward's `partial` for `count` primitives.
int64_t camera_partial_size(int64_t count);

int family_count();

// Names of the float tables that this build has and this processor runs, best last.
int simd_level_count();
const char* simd_level_name(int level);
void set_simd_level(int level);
const Kernels<float>& kernels_f32();
const Kernels<double>& kernels_f64();

}  // namespace recon
