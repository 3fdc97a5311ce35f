// Structural similarity of two images at one pixel (Wang et al. 2004): 11x11 Gaussian window of sigma 1.5, data range 1.
#pragma once

#include "recon/math.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kSsimRadius = 5;

// exp(-i^2 / (2 * 1.5^2)) at distance i, normalised over -5..5.
RECON_HD constexpr double ssim_tap(int i) {
    return i == 0   ? 0.26601172486179436
           : i == 1 ? 0.2130055377112537
           : i == 2 ? 0.10936068950970002
           : i == 3 ? 0.03600077212843083
           : i == 4 ? 0.007598758135239185
                    : 0.00102838008447911;
}

// SSIM and its derivatives by the window's means E[u], E[uu] and E[uv]; what E[u] does to the variances is included.
template <class T>
struct Ssim {
    T value, by_u, by_uu, by_uv;
};

template <class T>
RECON_HD Ssim<T> ssim_of(const T& u, const T& v, const T& uu, const T& vv, const T& uv) {
    const T two = constant<T>(2), c1 = constant<T>(0.01 * 0.01), c2 = constant<T>(0.03 * 0.03);
    const T variances = uu - u * u + vv - v * v, covariance = uv - u * v;
    const T n1 = two * u * v + c1, n2 = two * covariance + c2, inv1 = constant<T>(1) / (u * u + v * v + c1),
            inv2 = constant<T>(1) / (variances + c2);
    Ssim<T> s;
    s.value = n1 * n2 * inv1 * inv2;
    s.by_uu = -(s.value * inv2);
    s.by_uv = two * n1 * inv1 * inv2;
    s.by_u = two * v * n2 * inv1 * inv2 - two * u * s.value * inv1 - two * u * s.by_uu - v * s.by_uv;
    return s;
}

}  // namespace RECON_ISA
}  // namespace recon
