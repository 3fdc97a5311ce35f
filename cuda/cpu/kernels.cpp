// Compiled once per instruction set (see CMakeLists.txt): RECON_ISA names the namespace and the table.
#include "cpu/kernels.h"

#include "cpu/adam.h"
#include "cpu/bin.h"
#include "cpu/image_loss.h"
#include "cpu/project.h"
#include "cpu/tile_backward.h"
#include "cpu/tile_forward.h"

namespace recon {
inline namespace RECON_ISA {
namespace {

// The channel count is a template parameter so that sums live in registers; counts between are padded.
template <class Body>
void with_channels(int channels, const Body& body) {
    if (channels <= 3) return body(std::integral_constant<int, 3>{});
    if (channels <= 4) return body(std::integral_constant<int, 4>{});
    if (channels <= 8) return body(std::integral_constant<int, 8>{});
    if (channels <= 16) return body(std::integral_constant<int, 16>{});
    return body(std::integral_constant<int, kMaxChannels>{});
}

template <class Real>
void rasterize_forward(const RasterArgs<Real>& a) {
    with_channels(a.channels, [&](auto channels) {
        parallel_for(int64_t(a.tiles_x) * a.tiles_y, [&](int64_t tile, int) {
            a.median ? forward_tile<Real, channels(), true>(a, tile) : forward_tile<Real, channels(), false>(a, tile);
        });
    });
}

template <class Real>
void rasterize_backward(const RasterArgs<Real>& a) {
    with_channels(a.channels, [&](auto channels) {
        const bool extra = a.absolute || a.v_median_depth;
        parallel_for(int64_t(a.tiles_x) * a.tiles_y, [&](int64_t tile, int) {
            extra ? backward_tile<Real, channels(), true>(a, tile) : backward_tile<Real, channels(), false>(a, tile);
        });
    });
}

template <class Real>
constexpr Kernels<Real> table(const char* name) {
    return {name,
            project_forward<Real>,
            project_backward<Real>,
            bin_count<Real>,
            bin_fill<Real>,
            rasterize_forward<Real>,
            rasterize_backward<Real>,
            image_loss<Real>,
            adam<Real>};
}

}  // namespace
}  // namespace RECON_ISA

#define RECON_CONCAT_(a, b) a##b
#define RECON_CONCAT(a, b) RECON_CONCAT_(a, b)
#define RECON_TEXT_(a) #a
#define RECON_TEXT(a) RECON_TEXT_(a)

extern const Kernels<RECON_REAL> RECON_CONCAT(kTable_, RECON_ISA);
const Kernels<RECON_REAL> RECON_CONCAT(kTable_, RECON_ISA) = table<RECON_REAL>(RECON_TEXT(RECON_ISA));

}  // namespace recon
