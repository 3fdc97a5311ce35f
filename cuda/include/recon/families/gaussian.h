// 3D Gaussians: alpha = opacity exp(-0.5 d^T S^-1 d). Source: Kerbl et al. 2023, eq. 3.
#pragma once

#include "recon/ellipse.h"

namespace recon {
inline namespace RECON_ISA {

struct GaussianFamily {
    static constexpr const char* kName = "gaussian";
    static constexpr int kParameters = 4;  // means, quats wxyz, log_scales, opacity_logits
    static constexpr RECON_HD int width(int k) { return k == 0 ? 3 : k == 1 ? 4 : k == 2 ? 3 : 1; }
    static constexpr int kValues = 11;
    // x, y, depth, log2 opacity, A, B, C, 0: log2 alpha = lo - A dx^2 - B dx dy - C dy^2
    static constexpr int kRecord = 8;
    static constexpr int kMoments = 6;  // of slope: 1, dx, dy, dx^2, dx dy, dy^2
    static constexpr bool kPixelDepth = false;
    static constexpr bool kDear = false;
    static constexpr double kThreshold = kLog2MinAlpha;

    template <class T>
    struct Sample {
        T key, dx, dy;
    };

    template <class T, class S>
    static RECON_HD void project(const T* values, int, const Camera<S>& camera, Footprint<T, kRecord>& f) {
        const Ellipse<T, S> e(values, camera);
        const T x = e.x(), y = e.y(), half_log2e = constant<T>(0.5 * kLog2E), lo = log2_opacity(e.opacity());
        const T record[kRecord] = {x, y, e.p.z, lo, half_log2e * e.a(), constant<T>(kLog2E) * e.b(), half_log2e * e.c(), constant<T>(0)};
        for (int k = 0; k < kRecord; ++k) f.record[k] = record[k];
        // alpha >= kMinAlpha is the ellipse q <= ln(opacity / kMinAlpha), whose box is exact.
        const T reach = constant<T>(2.0 / kLog2E) * (lo - constant<T>(kLog2MinAlpha));
        const T safe = max(reach, constant<T>(0));
        const T half_x = sqrt(safe * e.S00()), half_y = sqrt(safe * e.S11());
        f.left = x - half_x, f.right = x + half_x, f.top = y - half_y, f.bottom = y + half_y;
        f.normal = e.normal();
        f.visible = e.valid() & (reach > constant<T>(0));
    }

    template <class T, class S>
    static RECON_HD void project_vjp(const T* values, int, const Camera<S>& camera, const FootprintGradient<T, kMoments>& v,
                                     T* v_values, CameraGradient<T>& v_camera, T* shift) {
        const Ellipse<T, S> e(values, camera);
        const T* m = v.moments;
        const T half = constant<T>(-0.5);
        shift[0] = e.a() * m[1] + e.b() * m[2];
        shift[1] = e.b() * m[1] + e.c() * m[2];
        e.vjp({shift[0], shift[1], half * m[3], -m[4], half * m[5], m[0] / e.opacity(), v.depth, v.normal}, v_values, v_camera);
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
        // A hair of slack: the test must never be stricter than the per-pixel one, which rounds differently.
        return lowest <= T((g[3] - R(kLog2MinAlpha)) * R(1.0001) + R(1e-4));
    }

    template <class R, class T>
    static RECON_HD Sample<T> evaluate(const R* g, const T& px, const T& py) {
        Sample<T> s;
        s.dx = px - T(g[0]);
        s.dy = py - T(g[1]);
        s.key = (T(g[3]) - s.dx * (T(g[4]) * s.dx + T(g[5]) * s.dy)) - T(g[6]) * s.dy * s.dy;
        return s;
    }

    template <class R, class T>
    static RECON_HD T alpha(const R*, Sample<T>& s) {
        return exp2_unchecked(s.key);
    }

    template <class R, class T>
    static RECON_HD void accumulate(const R*, const Sample<T>& s, const T& slope, T* sums) {
        sums[0] = sums[0] + slope;
        add_quadratic_moments(slope, s.dx, s.dy, sums + 1);
    }

    template <class R, class T>
    static RECON_HD void shift(const R* g, const Sample<T>& s, T& x, T& y) {
        x = T(R(kLn2)) * (T(R(2) * g[4]) * s.dx + T(g[5]) * s.dy);
        y = T(R(kLn2)) * (T(g[5]) * s.dx + T(R(2) * g[6]) * s.dy);
    }
};

}  // namespace RECON_ISA
}  // namespace recon
