// One sweep of multi-view stereo: a pack is sixteen neighbouring pixels of a row, each with a plane of its own.
//
// All pixels look at the planes of the sweep before, and write to other memory: the result depends neither on threads nor on order.
#pragma once

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/footprint.h"
#include "recon/stereo.h"

namespace recon {
inline namespace RECON_ISA {

template <class Real>
struct Quad {
    Pack<Real> a, b, c, d;
};

// The four neighbours' grey values at whole, valid positions.
template <class Real>
RECON_HD Quad<Real> fetch_quads(const StereoSource<Real>& s, const Pack<Real>& x, const Pack<Real>& y) {
    using P = Pack<Real>;
#if defined(__AVX512F__)
    if constexpr (sizeof(Real) == 4) {
        Quad<Real> r;
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

// Whole part of positive numbers below 2^22.
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

// The window around sixteen pixels of the reference.
template <class Real>
struct ReferenceWindow {
    using P = Pack<Real>;
    P value[kMaxStereoSamples], weight[kMaxStereoSamples];
    Real dx[kMaxStereoSamples], dy[kMaxStereoSamples];
    WindowSums<P> sums;
    int count = 0;

    RECON_HD ReferenceWindow(const StereoArgs<Real>& a, const Real* image) {
        sums.weight = sums.value = sums.square = P(Real(0));
        const P middle = P::load(image), sharpness = P(Real(-kLog2E) / a.color_sigma), lowest = P(Real(-30));
        for (int y = -a.radius; y <= a.radius; y += a.step)
            for (int x = -a.radius; x <= a.radius; x += a.step) {
                const P f = P::load(image + y * a.stride + x), w = exp2_unchecked(max(abs(f - middle) * sharpness, lowest));
                value[count] = f, weight[count] = w, dx[count] = Real(x), dy[count] = Real(y);
                sums.weight = sums.weight + w;
                sums.value = sums.value + w * f;
                sums.square = sums.square + w * f * f;
                ++count;
            }
    }
};

template <class Real>
struct StereoPixels {
    using P = Pack<Real>;
    const StereoArgs<Real>& a;
    const ReferenceWindow<Real>& window;
    P px, py, ray_x, ray_y;

    RECON_HD P source_cost(const StereoSource<Real>& s, const Plane<P>& plane) const {
        const P zero = P(Real(0)), one = P(Real(1)), worst = P(Real(kWorstCost));
        const P right = P(Real(s.width - 2)), bottom = P(Real(s.height - 2)), half = P(Real(0.5));
        const WindowMap<P, Real> map(s, a.fx, a.fy, ray_x, ray_y, plane);
        const auto ahead = map.base.z > P(Real(1e-6));
        const P inverse = reciprocal(select(ahead, map.base.z, one)), u = map.base.x * inverse, v = map.base.y * inverse;
        // Pixel centres are at one half.
        const auto seen = ahead & (u >= half) & (v >= half) & (u <= right + half) & (v <= bottom + half);
        if (!any(seen)) return worst;
        P g = zero, gg = zero, fg = zero;
        for (int k = 0; k < window.count; ++k) {
            const Homogeneous<P> h = map.at(P(window.dx[k]), P(window.dy[k]));
            const P z = reciprocal(max(h.z, P(Real(1e-6))));
            const P x = clamp(h.x * z - half, zero, right), y = clamp(h.y * z - half, zero, bottom);
            const P x0 = whole_part(x), y0 = whole_part(y), tx = x - x0, ty = y - y0;
            const Quad<Real> q = fetch_quads(s, x0, y0);
            const P top = q.a + tx * (q.b - q.a), low = q.c + tx * (q.d - q.c), value = top + ty * (low - top);
            const P weighted = window.weight[k] * value;
            g = g + weighted;
            gg = gg + weighted * value;
            fg = fg + weighted * window.value[k];
        }
        P cost = ncc_cost(window.sums, g, gg, fg);
        if (s.inverse_depth) {
            alignas(64) Real us[kLanes], vs[kLanes], qs[kLanes];
            clamp(u, zero, right).store(us);
            clamp(v, zero, bottom).store(vs);
            for (int l = 0; l < kLanes; ++l) qs[l] = s.inverse_depth[int64_t(vs[l]) * s.width + int64_t(us[l])];
            cost = cost + P(a.geometric_weight) * pixel_error(s, P::load(us), P::load(vs), P::load(qs), px, py);
        }
        return select(seen, cost, worst);
    }

    // The mean over the best sources.
    RECON_HD P cost(const Plane<P>& plane) const {
        P each[kMaxStereoSources];
        for (int s = 0; s < a.source_count; ++s) each[s] = source_cost(a.sources[s], plane);
        const int best = a.best < a.source_count ? a.best : a.source_count;
        P sum = P(Real(0));
        for (int i = 0; i < best; ++i) {
            for (int k = i + 1; k < a.source_count; ++k) {
                const P low = min(each[i], each[k]);
                each[k] = max(each[i], each[k]);
                each[i] = low;
            }
            sum = sum + each[i];
        }
        return sum * P(Real(1) / Real(best));
    }
};

template <class Real>
void stereo_row(const StereoArgs<Real>& a, int row) {
    using P = Pack<Real>;
    // Near and far neighbours along eight directions: each candidate is the best of its stretch (Xu & Tao 2019 choose alike).
    static constexpr int kDirections[8][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    static constexpr int kReach[2][3] = {{1, 2, 3}, {5, 9, 15}};
    const int64_t map = (a.height + 2 * kStereoMargin) * a.stride;
    for (int column = 0; column < a.width; column += kLanes) {
        const int64_t at = (row + kStereoMargin) * a.stride + kStereoMargin + column;
        const ReferenceWindow<Real> window(a, a.image + at);
        alignas(64) Real lane[kLanes];
        for (int l = 0; l < kLanes; ++l) lane[l] = Real(column + l) + Real(0.5);
        const P px = P::load(lane), py = P(Real(row) + Real(0.5));
        const StereoPixels<Real> pixels{a, window, px, py, (px - P(a.cx)) * P(1 / a.fx), (py - P(a.cy)) * P(1 / a.fy)};
        const auto plane_at = [&](int64_t place) {
            return Plane<P>{P::load(a.planes + place), P::load(a.planes + map + place), P::load(a.planes + 2 * map + place)};
        };
        Plane<P> best = plane_at(at);
        P lowest = a.cost ? P::load(a.cost + at) : pixels.cost(best);
        const auto consider = [&](const Plane<P>& wanted) {
            const Plane<P> plane = bounded(a, wanted);
            const P cost = pixels.cost(plane);
            const auto better = cost < lowest;
            lowest = select(better, cost, lowest);
            best.q = select(better, plane.q, best.q);
            best.x = select(better, plane.x, best.x);
            best.y = select(better, plane.y, best.y);
        };
        if (a.cost) {
            for (int d = 0; d < 8; ++d) {
                const int* reach = kReach[d >= 4];
                P chosen = P(Real(1e9));
                Plane<P> moved = best;
                for (int k = 0; k < 3; ++k) {
                    const int dx = kDirections[d][0] * reach[k], dy = kDirections[d][1] * reach[k];
                    const int64_t place = at + dy * a.stride + dx;
                    const P cost = P::load(a.cost + place);
                    const Plane<P> there = plane_at(place);
                    const auto better = cost < chosen;
                    chosen = select(better, cost, chosen);
                    moved.q = select(better, there.q - (P(Real(dx)) * there.x + P(Real(dy)) * there.y), moved.q);
                    moved.x = select(better, there.x, moved.x);
                    moved.y = select(better, there.y, moved.y);
                }
                consider(moved);
            }
            const P noise[3] = {P::load(a.noise + at), P::load(a.noise + map + at), P::load(a.noise + 2 * map + at)};
            const P shake = P(a.shake), slope_x = best.q * P(a.shake / a.fx), slope_y = best.q * P(a.shake / a.fy);
            const P few = P(Real(0.25));
            consider({best.q + shake * noise[0] * best.q, best.x, best.y});
            consider({best.q, best.x + slope_x * noise[1] * P(Real(8)), best.y + slope_y * noise[2] * P(Real(8))});
            consider({best.q - few * shake * noise[0] * best.q, best.x - slope_x * noise[1] * P(Real(2)), best.y - slope_y * noise[2] * P(Real(2))});
        }
        const int count = a.width - column < kLanes ? a.width - column : kLanes;
        lowest.scatter(a.cost_out + at, 1, count);
        best.q.scatter(a.planes_out + at, 1, count);
        best.x.scatter(a.planes_out + map + at, 1, count);
        best.y.scatter(a.planes_out + 2 * map + at, 1, count);
    }
}

template <class Real>
void stereo_sweep(const StereoArgs<Real>& a) {
    parallel_for(a.height, [&](int64_t row, int) { stereo_row(a, int(row)); });
}

}  // namespace RECON_ISA
}  // namespace recon
