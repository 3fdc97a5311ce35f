// How a block of 4x4 pixels asks a family for its alpha. The general way is pixel by pixel; a family may prepare something per
// tile that makes its blocks cheaper, by specialising this.
#pragma once

#include "cpu/simd.h"
#include "recon/footprint.h"

namespace recon {
inline namespace RECON_ISA {

// Pixel by pixel, as the family says.
template <class Family, class Real, class Staged>
struct GeneralWay {
    using P = Pack<Real>;
    using Sample = typename Family::template Sample<P>;

    static RECON_HD Sample evaluate(const Real* record, const Staged&, int, const P& px, const P& py) {
        return Family::evaluate(record, px, py);
    }
    // Adds one block's gradient to the sums, which stay in a form of the way's own until `finish`.
    static RECON_HD void accumulate(const Real* record, const Staged&, int, const Sample& sample, const P& slope, P* sums) {
        Family::accumulate(record, sample, slope, sums);
    }
    static RECON_HD void finish(const Staged&, P*) {}
};

template <class Family, class Real>
struct BlockEvaluator {
    static constexpr int kBatch = 128;  // staged primitives: their records and lists stay in the first-level cache
    struct Staged {};

    static RECON_HD void stage(const Real*, Real, Real, Staged&) {}
    // Calls body(way) with the way to evaluate this primitive's blocks, so that each is a loop of its own.
    template <class Body>
    static RECON_HD auto choose(const Staged&, const Body& body) {
        GeneralWay<Family, Real, Staged> way;
        return body(way);
    }
};

}  // namespace RECON_ISA
}  // namespace recon
