// The drivers for one family, compiled once per family and instruction set (see CMakeLists.txt): RECON_FAMILY and RECON_ISA
// name the table.
#include "cpu/bin.h"
#include "cpu/kernels.h"
#include "cpu/project.h"
#include "cpu/tile_backward.h"
#include "cpu/tile_forward.h"
#include "recon/families.h"

namespace recon {
inline namespace RECON_ISA {
namespace {

// The channel count is a template parameter so that sums live in registers; counts between are padded. Doubles only check
// derivatives, so they need not be quick.
template <class Real, class Body>
void with_channels(int channels, const Body& body) {
    if constexpr (sizeof(Real) == 4) {
        if (channels <= 3) return body(std::integral_constant<int, 3>{});
        if (channels > 8 && channels <= 16) return body(std::integral_constant<int, 16>{});
    }
    if (channels <= 8) return body(std::integral_constant<int, 8>{});
    return body(std::integral_constant<int, kMaxChannels>{});
}

template <class Family, class Real>
void rasterize_forward(const RasterArgs<Real>& a) {
    const bool geometry = a.median_depth || (Family::kPixelDepth && a.depth);
    with_channels<Real>(a.channels, [&](auto channels) {
        parallel_for(int64_t(a.tiles_x) * a.tiles_y, [&](int64_t tile, int) {
            geometry ? forward_tile<Family, Real, channels(), true>(a, tile) : forward_tile<Family, Real, channels(), false>(a, tile);
        });
    });
}

template <class Family, class Real>
void rasterize_backward(const RasterArgs<Real>& a) {
    with_channels<Real>(a.channels, [&](auto channels) {
        parallel_for(int64_t(a.tiles_x) * a.tiles_y, [&](int64_t tile, int) {
            a.extra ? backward_tile<Family, Real, channels(), true>(a, tile) : backward_tile<Family, Real, channels(), false>(a, tile);
        });
    });
}

template <class Family, class Real>
constexpr FamilyKernels<Real> table() {
    return {Family::kName,
            Family::kParameters,
            Family::kRecord,
            Family::kMoments,
            {Family::width(0), Family::width(1), Family::width(2), Family::width(3), Family::width(4)},
            Family::kPixelDepth,
            project_forward<Family, Real>,
            project_backward<Family, Real>,
            bin_count<Family, Real>,
            bin_fill<Family, Real>,
            rasterize_forward<Family, Real>,
            rasterize_backward<Family, Real>};
}

#define RECON_TYPE(name, type) using Type_##name = type;
RECON_FAMILIES(RECON_TYPE)
#undef RECON_TYPE

}  // namespace
}  // namespace RECON_ISA

#define RECON_CONCAT_(a, b, c, d) a##b##c##d
#define RECON_CONCAT(a, b, c, d) RECON_CONCAT_(a, b, c, d)

extern const FamilyKernels<RECON_REAL> RECON_CONCAT(kFamily_, RECON_FAMILY, _, RECON_ISA);
const FamilyKernels<RECON_REAL> RECON_CONCAT(kFamily_, RECON_FAMILY, _, RECON_ISA) = table<RECON_CONCAT(Type_, RECON_FAMILY, , ), RECON_REAL>();

}  // namespace recon
