// One sweep of multi-view stereo: a pack is sixteen neighbouring pixels of a row, each with a plane of its own.
#pragma once

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/stereo_search.h"

namespace recon {
inline namespace RECON_ISA {

template <class Real>
struct Lanes<Pack<Real>> {
    static RECON_HD Pack<Real> load(const Real* p) { return Pack<Real>::load(p); }
};

template <class Real>
RECON_HD Quad<Pack<Real>> fetch_quads(const StereoSource<Real>& s, const Pack<Real>& x, const Pack<Real>& y) {
    using P = Pack<Real>;
#if defined(__AVX512F__)
    if constexpr (sizeof(Real) == 4) {
        Quad<P> r;
        const __m512i index = _mm512_cvttps_epi32((__m512)(y * P(Real(s.width)) + x).v[0]);
        const __m512i word = _mm512_i32gather_epi32(index, s.quads, 4), low = _mm512_set1_epi32(255);
        r.a.v[0] = (typename P::Vector)_mm512_cvtepi32_ps(_mm512_and_si512(word, low));
        r.b.v[0] = (typename P::Vector)_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(word, 8), low));
        r.c.v[0] = (typename P::Vector)_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(word, 16), low));
        r.d.v[0] = (typename P::Vector)_mm512_cvtepi32_ps(_mm512_srli_epi32(word, 24));
        return r;
    }
#endif
    alignas(64) Real place[kLanes], a[kLanes], b[kLanes], c[kLanes], d[kLanes];
    (y * P(Real(s.width)) + x).store(place);
    for (int l = 0; l < kLanes; ++l) {
        const uint32_t word = s.quads[int64_t(place[l])];
        a[l] = Real(word & 255), b[l] = Real(word >> 8 & 255), c[l] = Real(word >> 16 & 255), d[l] = Real(word >> 24);
    }
    return {P::load(a), P::load(b), P::load(c), P::load(d)};
}

RECON_HD Pack<float> whole_part(const Pack<float>& x) {
    constexpr int kParts = Pack<float>::kParts;
    Pack<float> r;
    RECON_EACH r.v[i_] = __builtin_convertvector(__builtin_convertvector(x.v[i_], Pack<float>::IntVector), Pack<float>::Vector);
    return r;
}
RECON_HD Pack<double> whole_part(const Pack<double>& x) {
    alignas(64) double lanes[kLanes];
    x.store(lanes);
    for (double& lane : lanes) lane = double(int64_t(lane));
    return Pack<double>::load(lanes);
}

template <class Real>
RECON_HD Pack<Real> fetch_depth(const StereoSource<Real>& s, const Pack<Real>& x, const Pack<Real>& y) {
    alignas(64) Real xs[kLanes], ys[kLanes], depths[kLanes];
    x.store(xs), y.store(ys);
    for (int l = 0; l < kLanes; ++l) depths[l] = s.inverse_depth[int64_t(ys[l]) * s.width + int64_t(xs[l])];
    return Pack<Real>::load(depths);
}

template <class Real>
void stereo_sweep(const StereoArgs<Real>& a) {
    using P = Pack<Real>;
    const int64_t map = (a.height + 2 * kStereoMargin) * a.stride;
    parallel_for(a.height, [&](int64_t row, int) {
        for (int column = 0; column < a.width; column += kLanes) {
            const int64_t at = (row + kStereoMargin) * a.stride + kStereoMargin + column;
            alignas(64) Real x[kLanes];
            for (int l = 0; l < kLanes; ++l) x[l] = Real(column + l) + Real(0.5);
            const FoundPlane<P> found = search_plane<P>(a, at, P::load(x), P(Real(row) + Real(0.5)));
            const int count = a.width - column < kLanes ? a.width - column : kLanes;
            found.cost.scatter(a.cost_out + at, 1, count);
            found.plane.q.scatter(a.planes_out + at, 1, count);
            found.plane.x.scatter(a.planes_out + map + at, 1, count);
            found.plane.y.scatter(a.planes_out + 2 * map + at, 1, count);
        }
    });
}

}  // namespace RECON_ISA
}  // namespace recon
