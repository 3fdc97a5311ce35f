// Multi-view stereo by propagating planes (PatchMatch stereo: Bleyer et al. 2011; Galliani et al. 2015; Xu & Tao 2019).
//
// A plane is an inverse depth that is affine in the reference's pixels, q + qx dx + qy dy, so that nothing of it needs a normal
// or a ray: a neighbour's plane is moved here by adding its slopes, and a window's image in the source is a point h that is linear
// in dx, dy. The cost of a plane in a source is 1 - NCC of the two windows, weighted by likeness to the middle pixel.
#pragma once

#include "recon/math.h"
#include "recon/stereo_args.h"

namespace recon {
inline namespace RECON_ISA {

constexpr double kWorstCost = 2;           // of a window that the source does not see
constexpr double kLargestSlope = 4;        // tangent of a plane's tilt, about
constexpr double kMinVariance = 4;         // grey levels^2: flatter windows match anything
constexpr double kHiddenCost = 0.3;        // more than the best source: that the pixel is hidden from a source costs this much
constexpr double kMaxPixelError = 3;       // px: larger disagreement with the source's depth costs no more

template <class T>
struct Plane {
    T q, x, y;
};

template <class T>
struct Homogeneous {
    T x, y, z;
};

// Where the window's pixel (dx, dy) falls in the source: base + dx across + dy down.
template <class T, class S>
struct WindowMap {
    Homogeneous<T> base, across, down;

    RECON_HD WindowMap(const StereoSource<S>& s, S fx, S fy, const T& ray_x, const T& ray_y, const Plane<T>& p) {
        T* const from[3] = {&base.x, &base.y, &base.z};
        T* const right[3] = {&across.x, &across.y, &across.z};
        T* const below[3] = {&down.x, &down.y, &down.z};
        for (int k = 0; k < 3; ++k) {
            const T c = T(s.from_center[k]);
            *from[k] = T(s.from_ray[3 * k]) * ray_x + (T(s.from_ray[3 * k + 1]) * ray_y + (T(s.from_ray[3 * k + 2]) + c * p.q));
            *right[k] = T(s.from_ray[3 * k] / fx) + c * p.x;
            *below[k] = T(s.from_ray[3 * k + 1] / fy) + c * p.y;
        }
    }
    RECON_HD Homogeneous<T> at(const T& dx, const T& dy) const {
        return {base.x + dx * across.x + dy * down.x, base.y + dx * across.y + dy * down.y, base.z + dx * across.z + dy * down.z};
    }
};

// Weighted sums over a window of the reference.
template <class T>
struct WindowSums {
    T weight, value, square;
};

// 1 - NCC. The sums of the source's window: w g, w g^2, w f g.
template <class T>
RECON_HD T ncc_cost(const WindowSums<T>& f, const T& g, const T& gg, const T& fg) {
    const T inverse = reciprocal(f.weight), mean_f = f.value * inverse, mean_g = g * inverse;
    const T variance_f = max(f.square * inverse - mean_f * mean_f, constant<T>(kMinVariance));
    const T variance_g = max(gg * inverse - mean_g * mean_g, constant<T>(kMinVariance));
    const T covariance = fg * inverse - mean_f * mean_g;
    return clamp(constant<T>(1) - covariance / sqrt(variance_f * variance_g), constant<T>(0), constant<T>(kWorstCost));
}

// How far, in px of the reference, the source's own depth puts what it sees at (u, v) from (px, py); kMaxPixelError at most.
template <class T, class S>
RECON_HD T pixel_error(const StereoSource<S>& s, const T& u, const T& v, const T& source_q, const T& px, const T& py) {
    const T zero = constant<T>(0), worst = constant<T>(kMaxPixelError);
    T h[3];
    for (int k = 0; k < 3; ++k)
        h[k] = T(s.to_reference[3 * k]) * u + (T(s.to_reference[3 * k + 1]) * v + (T(s.to_reference[3 * k + 2]) + T(s.to_center[k]) * source_q));
    const Mask<T> known = (source_q > zero) & (h[2] > zero);
    const T inverse = reciprocal(select(known, h[2], constant<T>(1)));
    const T ex = h[0] * inverse - px, ey = h[1] * inverse - py;
    return select(known, min(sqrt(ex * ex + ey * ey), worst), worst);
}

// A plane that the search may look at: in the range, and not tilted beyond what a window can show.
template <class T, class S>
RECON_HD Plane<T> bounded(const StereoArgs<S>& a, const Plane<T>& p) {
    const T q = clamp(p.q, T(a.smallest), T(a.largest));
    const T x = q * T(S(kLargestSlope) / a.fx), y = q * T(S(kLargestSlope) / a.fy);
    return {q, clamp(p.x, -x, x), clamp(p.y, -y, y)};
}

}  // namespace RECON_ISA
}  // namespace recon
