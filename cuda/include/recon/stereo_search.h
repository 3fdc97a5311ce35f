// One pixel's step of the search for its plane, for a scalar or a pack of pixels. Drivers say where pixels are and keep what is found.
//
// All pixels look at the planes of the sweep before, and write to other memory: the result depends neither on threads nor on order.
#pragma once

#include "recon/footprint.h"
#include "recon/stereo.h"

namespace recon {
inline namespace RECON_ISA {

// Grey values of four neighbours. What reads memory is here for scalars and in cpu/stereo.h for packs.
template <class T>
struct Quad {
    T a, b, c, d;
};

// At whole, valid positions.
template <class Real>
RECON_HD Quad<Real> fetch_quads(const StereoSource<Real>& s, Real x, Real y) {
    const uint32_t word = s.quads[int64_t(y) * s.width + int64_t(x)];
    return {Real(word & 255), Real(word >> 8 & 255), Real(word >> 16 & 255), Real(word >> 24)};
}
template <class Real>
RECON_HD Real fetch_depth(const StereoSource<Real>& s, Real x, Real y) {
    return s.inverse_depth[int64_t(y) * s.width + int64_t(x)];
}
// Of positive numbers below 2^22.
RECON_HD float whole_part(float x) { return float(int32_t(x)); }
RECON_HD double whole_part(double x) { return double(int32_t(x)); }

template <class T>
struct Lanes {
    static RECON_HD T load(const T* p) { return *p; }
};

// The window around a pixel of the reference.
template <class T>
struct ReferenceWindow {
    using Real = Scalar<T>;
    T value[kMaxStereoSamples], weight[kMaxStereoSamples];
    WindowSums<T> sums;

    RECON_HD ReferenceWindow(const StereoArgs<Real>& a, const Real* image) {
        sums.weight = sums.value = sums.square = T(Real(0));
        const T middle = Lanes<T>::load(image), sharpness = T(Real(-kLog2E) / a.color_sigma), lowest = T(Real(-30));
        int count = 0;
        for (int y = -a.radius; y <= a.radius; y += a.step)
            for (int x = -a.radius; x <= a.radius; x += a.step) {
                const T f = Lanes<T>::load(image + y * a.stride + x), w = exp2_unchecked(max(abs(f - middle) * sharpness, lowest));
                value[count] = f, weight[count] = w;
                sums.weight = sums.weight + w;
                sums.value = sums.value + w * f;
                sums.square = sums.square + w * f * f;
                ++count;
            }
    }
};

template <class T>
struct StereoPixels {
    using Real = Scalar<T>;
    const StereoArgs<Real>& a;
    const ReferenceWindow<T>& window;
    T px, py, ray_x, ray_y;

    RECON_HD T source_cost(const StereoSource<Real>& s, const Plane<T>& plane) const {
        const T zero = T(Real(0)), one = T(Real(1)), worst = T(Real(kWorstCost));
        const T right = T(Real(s.width - 2)), bottom = T(Real(s.height - 2)), half = T(Real(0.5));
        const WindowMap<T, Real> map(s, a.fx, a.fy, ray_x, ray_y, plane);
        const auto ahead = map.base.z > T(Real(1e-6));
        const T inverse = reciprocal(select(ahead, map.base.z, one)), u = map.base.x * inverse, v = map.base.y * inverse;
        // Pixel centres are at one half.
        const auto seen = ahead & (u >= half) & (v >= half) & (u <= right + half) & (v <= bottom + half);
        if (!any(seen)) return worst;
        T g = zero, gg = zero, fg = zero;
        int k = 0;
        for (int dy = -a.radius; dy <= a.radius; dy += a.step)
            for (int dx = -a.radius; dx <= a.radius; dx += a.step, ++k) {
                const Homogeneous<T> h = map.at(T(Real(dx)), T(Real(dy)));
                const T z = reciprocal(max(h.z, T(Real(1e-6))));
                const T x = clamp(h.x * z - half, zero, right), y = clamp(h.y * z - half, zero, bottom);
                const T x0 = whole_part(x), y0 = whole_part(y), tx = x - x0, ty = y - y0;
                const Quad<T> q = fetch_quads(s, x0, y0);
                const T top = q.a + tx * (q.b - q.a), low = q.c + tx * (q.d - q.c), value = top + ty * (low - top);
                const T weighted = window.weight[k] * value;
                g = g + weighted;
                gg = gg + weighted * value;
                fg = fg + weighted * window.value[k];
            }
        T cost = ncc_cost(window.sums, g, gg, fg);
        if (s.inverse_depth) {
            const T cu = clamp(u, zero, right), cv = clamp(v, zero, bottom);
            cost = cost + T(a.geometric_weight) * pixel_error(s, cu, cv, fetch_depth(s, cu, cv), px, py);
        }
        return select(seen, cost, worst);
    }

    // The mean over the best sources; one to which the pixel is hidden costs a constant, so that planes are judged by the others.
    RECON_HD T cost(const Plane<T>& plane) const {
        T each[kMaxStereoSources];
        for (int s = 0; s < a.source_count; ++s) each[s] = source_cost(a.sources[s], plane);
        const int best = a.best < a.source_count ? a.best : a.source_count;
        T sum = T(Real(0));
        for (int i = 0; i < best; ++i) {
            for (int k = i + 1; k < a.source_count; ++k) {
                const T low = min(each[i], each[k]);
                each[k] = max(each[i], each[k]);
                each[i] = low;
            }
            sum = sum + min(each[i], each[0] + T(Real(kHiddenCost)));
        }
        return sum * T(Real(1) / Real(best));
    }
};

template <class T>
struct FoundPlane {
    Plane<T> plane;
    T cost;
};

// The plane of the pixel at (px, py), whose place in the maps is `at`, after a sweep; without costs only the cost of the plane it has.
template <class T>
RECON_HD FoundPlane<T> search_plane(const StereoArgs<Scalar<T>>& a, int64_t at, const T& px, const T& py) {
    using Real = Scalar<T>;
    // Near and far neighbours along eight directions: each candidate is the best of its stretch (Xu & Tao 2019 choose alike).
    constexpr int kDirections[8][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    constexpr int kReach[2][3] = {{1, 2, 3}, {5, 9, 15}};
    const int64_t map = (a.height + 2 * kStereoMargin) * a.stride;
    const ReferenceWindow<T> window(a, a.image + at);
    const StereoPixels<T> pixels{a, window, px, py, (px - T(a.cx)) * T(1 / a.fx), (py - T(a.cy)) * T(1 / a.fy)};
    const auto plane_at = [&](int64_t place) {
        return Plane<T>{Lanes<T>::load(a.planes + place), Lanes<T>::load(a.planes + map + place), Lanes<T>::load(a.planes + 2 * map + place)};
    };
    Plane<T> best = plane_at(at);
    if (!a.cost) return {best, pixels.cost(best)};
    T lowest = Lanes<T>::load(a.cost + at);
    const auto consider = [&](const Plane<T>& wanted) {
        const Plane<T> plane = bounded(a, wanted);
        const T cost = pixels.cost(plane);
        const auto better = cost < lowest;
        lowest = select(better, cost, lowest);
        best.q = select(better, plane.q, best.q);
        best.x = select(better, plane.x, best.x);
        best.y = select(better, plane.y, best.y);
    };
    for (int d = 0; d < 8; ++d) {
        T chosen = T(Real(1e9));
        Plane<T> moved = best;
        for (int k = 0; k < 3; ++k) {
            const int reach = kReach[d >= 4][k], dx = kDirections[d][0] * reach, dy = kDirections[d][1] * reach;
            const int64_t place = at + dy * a.stride + dx;
            const T cost = Lanes<T>::load(a.cost + place);
            const Plane<T> there = plane_at(place);
            const auto better = cost < chosen;
            chosen = select(better, cost, chosen);
            moved.q = select(better, there.q - (T(Real(dx)) * there.x + T(Real(dy)) * there.y), moved.q);
            moved.x = select(better, there.x, moved.x);
            moved.y = select(better, there.y, moved.y);
        }
        consider(moved);
    }
    const T noise[3] = {Lanes<T>::load(a.noise + at), Lanes<T>::load(a.noise + map + at), Lanes<T>::load(a.noise + 2 * map + at)};
    const T shake = T(a.shake), slope_x = best.q * T(a.shake / a.fx), slope_y = best.q * T(a.shake / a.fy);
    const T few = T(Real(0.25));
    consider({best.q + shake * noise[0] * best.q, best.x, best.y});
    consider({best.q, best.x + slope_x * noise[1] * T(Real(8)), best.y + slope_y * noise[2] * T(Real(8))});
    consider({best.q - few * shake * noise[0] * best.q, best.x - slope_x * noise[1] * T(Real(2)), best.y - slope_y * noise[2] * T(Real(2))});
    return {best, lowest};
}

}  // namespace RECON_ISA
}  // namespace recon
