// Convexes by block: the exponentials of their edges are separable.
//
// Within a block, 2^level = 2^(level at its centre) 2^(a ox + b oy), where the second factor is the same in every block of the
// tile and the first is one number per block. Both are made once per tile, so that a pixel's sum over the edges costs one
// multiplication each. Edges so sharp that this would overflow are rare in blocks of their own and take the general way.
#pragma once

#include "cpu/block_evaluator.h"
#include "recon/families/convex.h"

namespace recon {
inline namespace RECON_ISA {

template <int MaxPoints, class Real>
struct BlockEvaluator<ConvexFamily<MaxPoints>, Real> {
    using Family = ConvexFamily<MaxPoints>;
    using P = Pack<Real>;
    static constexpr int kBatch = 24;
    static constexpr double kMaxSlope = 24;  // log2 per px, |a| + |b|: what counts is then within 2^90 of the top, and in a float's range
    struct Staged {
        bool soft;
        P offset_factor[MaxPoints];                        // by pixel of a block
        alignas(64) Real block_factor[MaxPoints][kLanes];  // by block, relative to 2^top
        alignas(64) Real x[kLanes], y[kLanes];             // by block: its centre from the record's
        alignas(64) Real top[kLanes];
    };

    static RECON_HD void stage(const Real* g, Real tile_x, Real tile_y, Staged& s) {
        Real steepest = 0;
        for (int k = 0; k < MaxPoints; ++k) {
            const Real a = g[Family::kEdges + 3 * k], b = g[Family::kEdges + 3 * k + 1];
            const Real slope = (a < 0 ? -a : a) + (b < 0 ? -b : b);
            steepest = slope > steepest ? slope : steepest;
        }
        s.soft = steepest < Real(kMaxSlope);
        if (!s.soft) return;
        alignas(64) static const Real kCenter[kLanes] = {2, 6, 10, 14, 2, 6, 10, 14, 2, 6, 10, 14, 2, 6, 10, 14};
        alignas(64) static const Real kRow[kLanes] = {2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14};
        const P ox = offset_x(), oy = offset_y();
        const P x = P::load(kCenter) + P(tile_x - g[0]), y = P::load(kRow) + P(tile_y - g[1]), lowest = P(Real(-100));
        const P negligible = P(Real(sizeof(Real) == 4 ? -90 : -99)), zero = P(Real(0));
        P level[MaxPoints], top = P(Real(Family::kNoEdge));
        for (int k = 0; k < MaxPoints; ++k) {
            const P a = P(g[Family::kEdges + 3 * k]), b = P(g[Family::kEdges + 3 * k + 1]);
            s.offset_factor[k] = exp2_unchecked(a * ox + b * oy);
            level[k] = a * x + (b * y + P(g[Family::kEdges + 3 * k + 2]));
            top = max(top, level[k]);
        }
        top.store(s.top);
        for (int k = 0; k < MaxPoints; ++k) {
            // Too small to matter anywhere in the block, and not left to become a slow denormal.
            const P below = level[k] - top, factor = select(below > negligible, exp2_unchecked(max(below, lowest)), zero);
            factor.store(s.block_factor[k]);
        }
        x.store(s.x);
        y.store(s.y);
    }

    using Sample = typename Family::template Sample<P>;
    using General = GeneralWay<Family, Real, Staged>;
    struct Soft {
    static RECON_HD Sample evaluate(const Real* g, const Staged& staged, int block, const P& px, const P& py) {
        Sample s;
        s.dx = px - P(g[0]);
        s.dy = py - P(g[1]);
        P sum = P(Real(0));
        for (int k = 0; k < MaxPoints; ++k) {
            s.term[k] = P(staged.block_factor[k][block]) * staged.offset_factor[k];
            sum = sum + s.term[k];
        }
        s.log2_s = P(staged.top[block]) + log2(sum);
        s.key = P(g[5]) - s.log2_s;
        s.inverse = reciprocal(sum);
        return s;
    }

    // The factors by pixel are common to all blocks, so the sums over blocks are taken without them; and after the blocks, in a
    // loop of its own, because more sums than registers would make each block write them to memory.
    RECON_HD void accumulate(const Real*, const Staged& staged, int block, const Sample& s, const P& slope, P* sums) {
        const P weighted = slope * s.complement;
        sums[0] = sums[0] + slope;
        sums[1] = sums[1] + weighted * s.log2_s;
        each[block] = weighted * s.inverse;
        each_x[block] = each[block] * P(staged.x[block]);
        each_y[block] = each[block] * P(staged.y[block]);
        visited |= 1u << block;
    }
    RECON_HD void finish(const Staged& staged, P* sums) const {
        // As many edges at a time as there are registers for their sums: one pass over the blocks where packs are registers.
        constexpr int kTogether = P::kParts == 1 ? MaxPoints : 1;
        for (int first = 0; first < MaxPoints; first += kTogether) {
            P total[kTogether], along_x[kTogether], along_y[kTogether];
            for (int k = 0; k < kTogether; ++k) total[k] = along_x[k] = along_y[k] = P(Real(0));
            for (uint32_t bits = visited; bits; bits &= bits - 1) {
                const int block = __builtin_ctz(bits);
                for (int k = 0; k < kTogether; ++k) {
                    const P factor = P(staged.block_factor[first + k][block]);
                    total[k] = total[k] + each[block] * factor;
                    along_x[k] = along_x[k] + each_x[block] * factor;
                    along_y[k] = along_y[k] + each_y[block] * factor;
                }
            }
            for (int k = 0; k < kTogether; ++k) {
                const P f = staged.offset_factor[first + k], all = total[k] * f;
                P* out = sums + 2 + 3 * (first + k);
                out[0] = all;
                out[1] = along_x[k] * f + offset_x() * all;
                out[2] = along_y[k] * f + offset_y() * all;
            }
        }
    }

    RECON_HD Soft() : visited(0) {}

    P each[kLanes], each_x[kLanes], each_y[kLanes];  // of visited blocks
    uint32_t visited;
    };
    template <class Body>
    static RECON_HD auto choose(const Staged& staged, const Body& body) {
        if (staged.soft) {
            Soft way;
            return body(way);
        }
        General way;
        return body(way);
    }

    // Pixels of a block from its centre.
    static RECON_HD P offset_x() {
        alignas(64) static const Real k[kLanes] = {-1.5, -0.5, 0.5, 1.5, -1.5, -0.5, 0.5, 1.5, -1.5, -0.5, 0.5, 1.5, -1.5, -0.5, 0.5, 1.5};
        return P::load(k);
    }
    static RECON_HD P offset_y() {
        alignas(64) static const Real k[kLanes] = {-1.5, -1.5, -1.5, -1.5, -0.5, -0.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5, 1.5};
        return P::load(k);
    }
};

}  // namespace RECON_ISA
}  // namespace recon
