// The tables of all families.
#include "gpu/bin.h"
#include "gpu/kernels.h"
#include "recon/families.h"

namespace recon::gpu {

#define RECON_DECLARE(name, type) extern const FamilyKernels kFamily_##name;
#define RECON_ADDRESS(name, type) &kFamily_##name,
RECON_FAMILIES(RECON_DECLARE)

const FamilyKernels* const* families() {
    static const FamilyKernels* const all[] = {RECON_FAMILIES(RECON_ADDRESS) nullptr};
    return all;
}

int tile_key_bytes(int tiles) { return few_tiles(tiles) ? 2 : 4; }

size_t bin_scratch_bytes(int64_t count, int64_t capacity, int tiles) {
    GpuBinArgs a;
    a.count = count, a.capacity = capacity, a.tiles_x = tiles, a.tiles_y = 1;
    return bin_scratch_bytes(a);
}

}  // namespace recon::gpu
