// Compiles the shared maths for a GPU: both directions of every family's projection and its work per pixel.
#include "recon/families.h"
#include "recon/primitive.h"

namespace recon {

// One row, one thread.
struct Row {
    template <class Real>
    RECON_HD Real load(const Real* p, int64_t) const {
        return *p;
    }
    template <class Real>
    RECON_HD void store(Real value, Real* p, int64_t) const {
        *p = value;
    }
    RECON_HD void store_rounded_up(float value, int32_t* p) const { *p = value > 0 ? int32_t(value) + 1 : 0; }
};

template <class Family>
__global__ void visit(ProjectArgs<float> a, ProjectBackwardArgs<float> b, float* sums) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= a.count) return;
    const Camera<float> camera = camera_of(a);
    project_primitive<Family, float>(a, camera, i, Row{});
    const float* record = a.records + Family::kRecord * i;
    if (!Family::may_reach(record, 0.5f, 15.5f, 0.5f, 15.5f)) return;
    auto sample = Family::evaluate(record, 0.5f, 0.5f);
    Family::accumulate(record, sample, Family::alpha(record, sample), sums + 64 * i);
    project_primitive_backward<Family, float>(a, b, camera, i, Row{}, sums + 64 * i, true, sums);
}

#define RECON_VISIT(name, type) template __global__ void visit<type>(ProjectArgs<float>, ProjectBackwardArgs<float>, float*);
RECON_FAMILIES(RECON_VISIT)

}  // namespace recon
