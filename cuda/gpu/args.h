// What the GPU driver needs besides the arguments that both drivers share. All memory is the caller's, on the device.
#pragma once

#include "recon/raster_args.h"

namespace recon {

// From records and boxes to lists of primitives per tile, near to far. Nothing here waits for the host: the number of
// instances is only known on the device, and what does not fit into `capacity` is left out, which `total` tells.
struct GpuBinArgs {
    int64_t count = 0;     // N
    int64_t capacity = 0;  // room for instances
    int width = 0, height = 0, tiles_x = 0, tiles_y = 0;
    const float* records = nullptr;  // [N, F::kRecord]
    const float* boxes = nullptr;    // [N, 4]

    uint32_t* depth_keys = nullptr;  // [2, N]
    int32_t* order = nullptr;        // [2, N]: primitives; the second half is sorted, near to far, invisible ones last
    int32_t* tiles_touched = nullptr;  // [N], by place in the order
    int64_t* offsets = nullptr;      // [N], inclusive sums of it
    void* tile_keys = nullptr;       // [2, capacity] of uint16_t, or of uint32_t where there are more tiles than that counts
    int32_t* instances = nullptr;    // [2, capacity]: primitives; the second half is sorted by tile
    int32_t* tile_ranges = nullptr;  // [tiles, 2]: first and one past the last of a tile's instances
    uint8_t* seen = nullptr;         // [N]: the primitive touches a tile
    void* scratch = nullptr;
    size_t scratch_bytes = 0;
};

struct GpuRasterArgs {
    RasterArgs<float> raster;               // without tile_offsets and instances; moments [N, ...] zeroed by the driver
    int64_t count = 0;                      // N
    const int32_t* instances = nullptr;     // [capacity], the sorted half
    const int32_t* tile_ranges = nullptr;   // [tiles, 2]
};

}  // namespace recon
