// The kernels of one family, compiled once per family (see CMakeLists.txt): RECON_FAMILY names the table.
#include "gpu/bin.h"
#include "gpu/kernels.h"
#include "gpu/project.h"
#include "gpu/raster.h"
#include "recon/families.h"

namespace recon::gpu {

#define RECON_CONCAT_(a, b) a##b
#define RECON_CONCAT(a, b) RECON_CONCAT_(a, b)
#define RECON_TYPE(name, type) using Type_##name = type;
RECON_FAMILIES(RECON_TYPE)

using Chosen = RECON_CONCAT(Type_, RECON_FAMILY);
extern const FamilyKernels RECON_CONCAT(kFamily_, RECON_FAMILY);
const FamilyKernels RECON_CONCAT(kFamily_, RECON_FAMILY) = {
    Chosen::kName,      project_forward<Chosen>,   project_backward<Chosen>,  bin_count<Chosen>,
    bin_fill<Chosen>,   rasterize_forward<Chosen>, rasterize_backward<Chosen>};

}  // namespace recon::gpu
