// Generalized exponentials: alpha = opacity exp(-0.5 m^(beta / 2)), m = d^T S^-1 d, with an exponent beta per primitive:
// 2 is a Gaussian, large ones have sharp rims. Source: Hamdi et al. 2024 (GES), whose rasteriser approximates beta by a
// change of scale; this is the function itself.
#pragma once

#include "recon/ellipse.h"

namespace recon {
inline namespace RECON_ISA {

struct ExponentialFamily {
    static constexpr const char* kName = "exponential";
    static constexpr int kParameters = 5;  // means, quats wxyz, log_scales, opacity_logits, shape_logits
    static constexpr RECON_HD int width(int k) { return k == 0 ? 3 : k == 1 ? 4 : k == 2 ? 3 : 1; }
    static constexpr int kValues = 12;
    // x, y, depth, log2 opacity, A, B, C, h, reach, 0, 0, 0: with q = A dx^2 + B dx dy + C dy^2 and h = beta / 2,
    // log2 alpha = lo - q^h, and alpha >= kMinAlpha is q <= reach. The factor 0.5 log2(e) is folded into A, B and C.
    static constexpr int kRecord = 12;
    static constexpr int kMoments = 7;  // of slope: 1; of g = -d ln alpha / dq: dx, dy, dx^2, dx dy, dy^2; of slope: q^h log2 q
    static constexpr bool kPixelDepth = false;
    static constexpr bool kDear = true;
    static constexpr double kThreshold = 0;
    // beta = kMinBeta + kBetaSpan sigmoid(shape_logit). Below 1 the centre becomes a cusp whose slope has no bound.
    static constexpr double kMinBeta = 1, kBetaSpan = 8;
    static constexpr double kMinQ = 1e-8;  // keeps q^h and log2 q finite at the centre itself
    static constexpr double kLog2Half = -0.4712336270551024;  // log2(0.5 log2 e)

    template <class T>
    struct Sample {
        T key, dx, dy, q, log2_q, steep;  // steep = q^(h - 1)
    };

    // The factor s on the inverse covariance: s^h = 0.5 log2(e).
    template <class T>
    static RECON_HD T fold(const T& h) {
        return exp(constant<T>(kLn2 * kLog2Half) / h);
    }

    template <class T, class S>
    static RECON_HD void project(const T* values, int, const Camera<S>& camera, Footprint<T, kRecord>& f) {
        const Ellipse<T, S> e(values, camera);
        const T zero = constant<T>(0), two = constant<T>(2);
        const T h = constant<T>(0.5 * kMinBeta) + constant<T>(0.5 * kBetaSpan) * sigmoid(values[11]), s = fold(h);
        const T lo = log2_opacity(e.opacity()), budget = lo - constant<T>(kLog2MinAlpha);
        const T reach = exp(constant<T>(kLn2) * log2(max(budget, constant<T>(1e-30))) / h);
        const T x = e.x(), y = e.y();
        const T record[kRecord] = {x, y, e.p.z, lo, s * e.a(), two * s * e.b(), s * e.c(), h, reach, zero, zero, zero};
        for (int k = 0; k < kRecord; ++k) f.record[k] = record[k];
        const T half_x = sqrt(reach / s * e.S00()), half_y = sqrt(reach / s * e.S11());
        f.left = x - half_x, f.right = x + half_x, f.top = y - half_y, f.bottom = y + half_y;
        f.normal = e.normal();
        f.visible = e.valid() & (budget > zero) & (values[11] <= values[11]);
    }

    template <class T, class S>
    static RECON_HD void project_vjp(const T* values, int, const Camera<S>& camera, const FootprintGradient<T, kMoments>& v,
                                     T* v_values, CameraGradient<T>& v_camera, T* shift) {
        const Ellipse<T, S> e(values, camera);
        const T* m = v.moments;
        const T two = constant<T>(2), level = sigmoid(values[11]);
        const T h = constant<T>(0.5 * kMinBeta) + constant<T>(0.5 * kBetaSpan) * level, s = fold(h);
        shift[0] = two * s * (e.a() * m[1] + e.b() * m[2]);
        shift[1] = two * s * (e.b() * m[1] + e.c() * m[2]);
        const T v_s = -(e.a() * m[3] + two * e.b() * m[4] + e.c() * m[5]);
        const T v_h = -(constant<T>(kLn2 * kLn2) * m[6]) - v_s * s * constant<T>(kLn2 * kLog2Half) / (h * h);
        v_values[11] = v_h * constant<T>(0.5 * kBetaSpan) * level * (constant<T>(1) - level);
        e.vjp({shift[0], shift[1], -(s * m[3]), -(two * s * m[4]), -(s * m[5]), m[0] / e.opacity(), v.depth, v.normal},
              v_values, v_camera);
    }

    template <class T>
    static RECON_HD Vec3<T> center(const T* values, int) {
        return {values[0], values[1], values[2]};
    }
    template <class T>
    static RECON_HD void center_vjp(const Vec3<T>& v, int, T* v_values) {
        v_values[0] = v_values[0] + v.x, v_values[1] = v_values[1] + v.y, v_values[2] = v_values[2] + v.z;
    }

    template <class R, class T>
    static RECON_HD Mask<T> may_reach(const R* g, const T& x0, const T& x1, const T& y0, const T& y1) {
        const R A = g[4], B = g[5], C = g[6];
        const T lowest = min_quadratic_over_box(A, B, C, R(-B / (R(2) * A)), R(-B / (R(2) * C)), x0 - T(g[0]), x1 - T(g[0]),
                                                y0 - T(g[1]), y1 - T(g[1]));
        return lowest <= T(g[8] * R(1.0001));  // slack for rounding
    }

    template <class R, class T>
    static RECON_HD Sample<T> evaluate(const R* g, const T& px, const T& py) {
        Sample<T> s;
        s.dx = px - T(g[0]);
        s.dy = py - T(g[1]);
        s.q = s.dx * (T(g[4]) * s.dx + T(g[5]) * s.dy) + T(g[6]) * s.dy * s.dy;
        s.key = T(g[8]) - s.q;
        return s;
    }

    template <class R, class T>
    static RECON_HD T alpha(const R* g, Sample<T>& s) {
        // Pixels outside of the reach are not used, but must stay finite.
        s.q = max(min(s.q, T(g[8])), T(R(kMinQ)));
        s.log2_q = log2(s.q);
        s.steep = exp2_unchecked(T(g[7] - R(1)) * s.log2_q);
        return exp2_unchecked(T(g[3]) - s.steep * s.q);
    }

    template <class R, class T>
    static RECON_HD void accumulate(const R* g, const Sample<T>& s, const T& slope, T* sums) {
        const T along = slope * s.steep;
        sums[0] = sums[0] + slope;
        add_quadratic_moments(T(R(kLn2) * g[7]) * along, s.dx, s.dy, sums + 1);
        sums[6] = sums[6] + along * (s.q * s.log2_q);
    }

    template <class R, class T>
    static RECON_HD void shift(const R* g, const Sample<T>& s, T& x, T& y) {
        const T steep = T(R(kLn2) * g[7]) * s.steep;
        x = steep * (T(R(2) * g[4]) * s.dx + T(g[5]) * s.dy);
        y = steep * (T(g[5]) * s.dx + T(R(2) * g[6]) * s.dy);
    }
};

}  // namespace RECON_ISA
}  // namespace recon
