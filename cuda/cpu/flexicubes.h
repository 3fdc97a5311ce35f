// Dual surface extraction from signed values on a sparse voxel lattice, and its gradient.
// Work is dealt out by layers of equal z. A layer touches corners and neighbours of itself and of the next one only, so the
// gradient adds up the even layers and then the odd ones: no two threads share memory and the sum's order is fixed.
#pragma once

#include <cstdint>

#include "recon/flexicubes_args.h"

namespace recon {

template <class Real>
SurfaceSize flexicubes_count(const FlexiCubesArgs<Real>& args);

// vertices [duals (+ quads when training), 3]; faces [quads * 2 or 4, 3]; deviation [duals] or null.
template <class Real>
void flexicubes_fill(const FlexiCubesArgs<Real>& args, SurfaceSize size, Real* vertices, int32_t* faces, Real* deviation);

template <class Real>
void flexicubes_backward(const FlexiCubesArgs<Real>& args, SurfaceSize size, const FlexiCubesGradient<Real>& gradient);

}  // namespace recon
