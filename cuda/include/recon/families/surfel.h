// 2D Gaussian surfels: a flat Gaussian in space, hit by the pixel's ray, never thinner than the low-pass filter.
//
// Source: Huang et al. 2024 (2DGS). Their ray-splat intersection is a homography from the image to the surfel's plane;
// around the projected centre it is s(d) = A d / (1 + p . d) with a 2x2 matrix A and a vector p, which leaves nine numbers and
// no cancellation. The depth along the plane is z(d) = z / (1 + p . d). Weight: exp(-0.5 min(|s|^2, 2 |d|^2)).
#pragma once

#include "recon/ellipse.h"

namespace recon {
inline namespace RECON_ISA {

struct SurfelFamily {
    static constexpr const char* kName = "surfel";
    static constexpr int kParameters = 4;  // means, quats wxyz (third axis: normal), log_scales, opacity_logits
    static constexpr RECON_HD int width(int k) { return k == 0 ? 3 : k == 1 ? 4 : k == 2 ? 2 : 1; }
    static constexpr int kValues = 10;
    // x, y, depth, log2 opacity, A (ux, uy, vx, vy), p (x, y), 1 if the disc has no bound on the image, 0
    static constexpr int kRecord = 12;
    // slope; dA (ux, uy, vx, vy); dp (x, y); dx, dy of the centre; dz
    static constexpr int kMoments = 10;
    static constexpr bool kPixelDepth = true;
    static constexpr bool kDear = false;
    static constexpr double kThreshold = kLog2MinAlpha;
    static constexpr double kMinW = 1e-4;      // of 1 + p . d: the ray runs along the plane, or meets it behind the camera
    static constexpr double kMinSine = 1e-5;   // between the projected axes: seen edge-on

    template <class T>
    struct Sample {
        T key, dx, dy, su, sv, inv_w;
        Mask<T> disc;  // the disc is wider than the low-pass filter here
    };

    // The axes scaled by their deviations in the camera frame, and their images around the centre, px z.
    template <class T, class S>
    struct Frame {
        const Camera<S>& camera;
        Orientation<T> orientation;
        Vec3<T> mean, p, u_world, v_world, U, V;
        T su, sv, inv_z, xn, yn, gux, guy, gvx, gvy, det, i, opacity;

        RECON_HD Frame(const T* values, const Camera<S>& c) : camera(c), orientation(values + 3) {
            mean = {values[0], values[1], values[2]};
            p = to_camera(camera, mean);
            su = exp(values[7]), sv = exp(values[8]);
            u_world = su * orientation.rotation.column(0);
            v_world = sv * orientation.rotation.column(1);
            U = multiply(camera.R, u_world);
            V = multiply(camera.R, v_world);
            inv_z = constant<T>(1) / p.z;
            xn = p.x * inv_z, yn = p.y * inv_z;
            gux = camera.fx * (U.x - xn * U.z), guy = camera.fy * (U.y - yn * U.z);
            gvx = camera.fx * (V.x - xn * V.z), gvy = camera.fy * (V.y - yn * V.z);
            det = gux * gvy - gvx * guy;
            i = constant<T>(1) / det;
            opacity = sigmoid(values[9]);
        }
        RECON_HD T facing() const {
            const Vec3<T> n = orientation.rotation.column(2);
            const Vec3<T> sight = {mean.x - camera.center.x, mean.y - camera.center.y, mean.z - camera.center.z};
            return select(dot(n, sight) > constant<T>(0), constant<T>(-1), constant<T>(1));
        }
    };

    // Largest rho = min(|s|^2, 2 |d|^2) at which alpha >= kMinAlpha.
    template <class T>
    static RECON_HD T budget(const T& log2_opacity) {
        return constant<T>(2 * kLn2) * (log2_opacity - constant<T>(kLog2MinAlpha));
    }

    template <class T, class S>
    static RECON_HD void project(const T* values, int, const Camera<S>& camera, Footprint<T, kRecord>& f) {
        const Frame<T, S> e(values, camera);
        const T zero = constant<T>(0), one = constant<T>(1), z = e.p.z, zi = z * e.i;
        const T x = camera.fx * e.xn + T(camera.cx), y = camera.fy * e.yn + T(camera.cy);
        const T lo = log2_opacity(e.opacity), t = max(budget(lo), zero);
        // The disc |s|^2 <= t lies in front of the camera when every point's depth z + c . s is positive.
        const T cc = e.U.z * e.U.z + e.V.z * e.V.z, D = z * z - t * cc;
        const Mask<T> bounded = D > constant<T>(1e-3) * z * z;
        const T inv_D = one / select(bounded, D, one);
        const T off_x = -(t * (e.gux * e.U.z + e.gvx * e.V.z) * inv_D), off_y = -(t * (e.guy * e.U.z + e.gvy * e.V.z) * inv_D);
        const T half_x = sqrt(off_x * off_x + t * (e.gux * e.gux + e.gvx * e.gvx) * inv_D);
        const T half_y = sqrt(off_y * off_y + t * (e.guy * e.guy + e.gvy * e.gvy) * inv_D);
        const T low_pass = sqrt(constant<T>(0.5) * t), everywhere = constant<T>(kEverywhere);
        f.left = x - select(bounded, max(half_x - off_x, low_pass), everywhere);
        f.right = x + select(bounded, max(half_x + off_x, low_pass), everywhere);
        f.top = y - select(bounded, max(half_y - off_y, low_pass), everywhere);
        f.bottom = y + select(bounded, max(half_y + off_y, low_pass), everywhere);
        const T record[kRecord] = {x, y, z, lo, zi * e.gvy, -(zi * e.gvx), -(zi * e.guy), zi * e.gux,
                                   e.i * (e.V.z * e.guy - e.U.z * e.gvy), e.i * (e.U.z * e.gvx - e.V.z * e.gux),
                                   select(bounded, zero, one), zero};
        for (int k = 0; k < kRecord; ++k) f.record[k] = record[k];
        const T sign = e.facing();
        f.normal = sign * e.orientation.rotation.column(2);
        const T parameters = values[7] + values[8] + values[9];
        const T lengths = sqrt((e.gux * e.gux + e.guy * e.guy) * (e.gvx * e.gvx + e.gvy * e.gvy));
        f.visible = (parameters <= parameters) & (z > T(camera.near_plane)) & (z < T(camera.far_plane)) & (t > zero) &
                    (abs(e.det) > constant<T>(kMinSine) * lengths) & (lengths > constant<T>(1e-30)) & (lengths < constant<T>(1e30)) &
                    (abs(x) + abs(y) < constant<T>(kFarthest));
    }

    template <class T, class S>
    static RECON_HD void project_vjp(const T* values, int, const Camera<S>& camera, const FootprintGradient<T, kMoments>& v,
                                     T* v_values, CameraGradient<T>& v_camera, T* shift) {
        const Frame<T, S> e(values, camera);
        const T *m = v.moments, z = e.p.z, zi = z * e.i, one = constant<T>(1);
        shift[0] = m[7], shift[1] = m[8];
        // A = z G^-1 and p = -G^-T c with G = [gu gv], c = (Uz, Vz).
        const T ux = zi * e.gvy, uy = -(zi * e.gvx), vx = -(zi * e.guy), vy = zi * e.gux;
        const T px = e.i * (e.V.z * e.guy - e.U.z * e.gvy), py = e.i * (e.U.z * e.gvx - e.V.z * e.gux);
        const T v_det = -(e.i * (m[1] * ux + m[2] * uy + m[3] * vx + m[4] * vy + m[5] * px + m[6] * py));
        const T v_gux = m[4] * zi - m[6] * e.V.z * e.i + v_det * e.gvy;
        const T v_guy = m[5] * e.V.z * e.i - m[3] * zi - v_det * e.gvx;
        const T v_gvx = m[6] * e.U.z * e.i - m[2] * zi - v_det * e.guy;
        const T v_gvy = m[1] * zi - m[5] * e.U.z * e.i + v_det * e.gux;
        const T v_uz = e.i * (m[6] * e.gvx - m[5] * e.gvy), v_vz = e.i * (m[5] * e.guy - m[6] * e.gux);
        const Vec3<T> v_U = {camera.fx * v_gux, camera.fy * v_guy, v_uz - camera.fx * e.xn * v_gux - camera.fy * e.yn * v_guy};
        const Vec3<T> v_V = {camera.fx * v_gvx, camera.fy * v_gvy, v_vz - camera.fx * e.xn * v_gvx - camera.fy * e.yn * v_gvy};
        const T v_xn = camera.fx * (m[7] - e.U.z * v_gux - e.V.z * v_gvx);
        const T v_yn = camera.fy * (m[8] - e.U.z * v_guy - e.V.z * v_gvy);
        const T v_z = v.depth + m[9] + e.i * (m[1] * e.gvy - m[2] * e.gvx - m[3] * e.guy + m[4] * e.gux) -
                      e.inv_z * (v_xn * e.xn + v_yn * e.yn);
        const Vec3<T> v_mean = to_camera_vjp(camera, e.mean, Vec3<T>{v_xn * e.inv_z, v_yn * e.inv_z, v_z}, v_camera);
        v_values[0] = v_mean.x, v_values[1] = v_mean.y, v_values[2] = v_mean.z;

        CameraGradient<T> axes;
        const Vec3<T> v_u = to_camera_vjp(camera, e.u_world, v_U, axes), v_v = to_camera_vjp(camera, e.v_world, v_V, axes);
        for (int r = 0; r < 3; ++r)
            for (int c = 0; c < 3; ++c) v_camera.R.m[r][c] = v_camera.R.m[r][c] + axes.R.m[r][c];
        v_values[7] = dot(v_u, e.u_world);
        v_values[8] = dot(v_v, e.v_world);
        const T sign = e.facing();
        const Vec3<T> c0 = e.su * v_u, c1 = e.sv * v_v, c2 = sign * v.normal;
        const Mat3<T> v_rotation = {{{c0.x, c1.x, c2.x}, {c0.y, c1.y, c2.y}, {c0.z, c1.z, c2.z}}};
        e.orientation.vjp(v_rotation, v_values + 3);
        v_values[9] = m[0] * (one - e.opacity);
    }

    template <class T>
    static RECON_HD Vec3<T> center(const T* values, int) {
        return {values[0], values[1], values[2]};
    }
    template <class T>
    static RECON_HD void center_vjp(const Vec3<T>& v, int, T* v_values) {
        v_values[0] = v_values[0] + v.x, v_values[1] = v_values[1] + v.y, v_values[2] = v_values[2] + v.z;
    }

    // The disc's image is the conic |A d|^2 <= t (1 + p . d)^2, an ellipse around m = t Q^-1 p with Q = A^T A - t p p^T.
    template <class R, class T>
    static RECON_HD Mask<T> may_reach(const R* g, const T& x0, const T& x1, const T& y0, const T& y1) {
        const T left = x0 - T(g[0]), right = x1 - T(g[0]), top = y0 - T(g[1]), bottom = y1 - T(g[1]), zero = T(R(0));
        const R t = budget(g[3]) * R(1.001) + R(1e-4);  // slack for rounding
        const T near_x = clamp(zero, left, right), near_y = clamp(zero, top, bottom);
        const R qa = g[4] * g[4] + g[6] * g[6] - t * g[8] * g[8], qc = g[5] * g[5] + g[7] * g[7] - t * g[9] * g[9];
        const R qb = g[4] * g[5] + g[6] * g[7] - t * g[8] * g[9], scale = t / (qa * qc - qb * qb);
        const R mx = scale * (qc * g[8] - qb * g[9]), my = scale * (qa * g[9] - qb * g[8]);
        const R limit = t * (R(1) + g[8] * mx + g[9] * my) * R(1.001);
        const T lowest = min_quadratic_over_box(qa, R(2) * qb, qc, R(-qb / qa), R(-qb / qc), left - T(mx), right - T(mx),
                                                top - T(my), bottom - T(my));
        // Without a bound, or where Q lost its digits, everything is reachable.
        const bool bounded = g[10] <= R(0) && qa > R(0) && qc > R(0) && qa * qc > R(1.0001) * qb * qb;
        return (lowest <= T(bounded ? limit : R(1e30))) | (near_x * near_x + near_y * near_y <= T(R(0.5) * t)) |
               (T(R(bounded ? 1 : 0)) <= zero);
    }

    template <class R, class T>
    static RECON_HD Sample<T> evaluate(const R* g, const T& px, const T& py) {
        Sample<T> s;
        s.dx = px - T(g[0]);
        s.dy = py - T(g[1]);
        const T w = T(R(1)) + (T(g[8]) * s.dx + T(g[9]) * s.dy), floor = T(R(kMinW));
        s.inv_w = reciprocal(max(w, floor));
        s.su = (T(g[4]) * s.dx + T(g[5]) * s.dy) * s.inv_w;
        s.sv = (T(g[6]) * s.dx + T(g[7]) * s.dy) * s.inv_w;
        const T disc = s.su * s.su + s.sv * s.sv, low_pass = T(R(2)) * (s.dx * s.dx + s.dy * s.dy);
        s.disc = (w > floor) & (disc < low_pass);
        s.key = T(g[3]) - T(R(0.5 * kLog2E)) * select(s.disc, disc, low_pass);
        return s;
    }

    template <class R, class T>
    static RECON_HD T alpha(const R*, Sample<T>& s) {
        return exp2_unchecked(s.key);
    }

    // Adds the gradients of s and w = 1 + p . d, and of the filter's d, of pixels that are on the disc or beside it.
    template <class R, class T>
    static RECON_HD void add(const R* g, const Sample<T>& s, const T& v_u, const T& v_v, const T& v_w, T* sums) {
        sums[1] = sums[1] + v_u * s.dx;
        sums[2] = sums[2] + v_u * s.dy;
        sums[3] = sums[3] + v_v * s.dx;
        sums[4] = sums[4] + v_v * s.dy;
        sums[5] = sums[5] + v_w * s.dx;
        sums[6] = sums[6] + v_w * s.dy;
        sums[7] = sums[7] - (v_u * T(g[4]) + v_v * T(g[6]) + v_w * T(g[8]));
        sums[8] = sums[8] - (v_u * T(g[5]) + v_v * T(g[7]) + v_w * T(g[9]));
    }

    template <class R, class T>
    static RECON_HD void accumulate(const R* g, const Sample<T>& s, const T& slope, T* sums) {
        const T zero = T(R(0)), on_disc = select(s.disc, slope * s.inv_w, zero), beside = select(s.disc, zero, slope + slope);
        sums[0] = sums[0] + slope;
        add(g, s, -(on_disc * s.su), -(on_disc * s.sv), on_disc * (s.su * s.su + s.sv * s.sv), sums);
        sums[7] = sums[7] + beside * s.dx;
        sums[8] = sums[8] + beside * s.dy;
    }

    template <class R, class T>
    static RECON_HD void shift(const R* g, const Sample<T>& s, T& x, T& y) {
        T sums[kMoments];
        for (T& sum : sums) sum = T(R(0));
        accumulate(g, s, T(R(1)), sums);
        x = sums[7], y = sums[8];
    }

    template <class R, class T>
    static RECON_HD T depth(const R* g, const Sample<T>& s) {
        return T(g[2]) * select(s.disc, s.inv_w, T(R(1)));
    }

    template <class R, class T>
    static RECON_HD void accumulate_depth(const R* g, const Sample<T>& s, const T& v_depth, T* sums) {
        const T zero = T(R(0)), v_w = select(s.disc, -(v_depth * T(g[2]) * s.inv_w * s.inv_w), zero);
        sums[5] = sums[5] + v_w * s.dx;
        sums[6] = sums[6] + v_w * s.dy;
        sums[7] = sums[7] - v_w * T(g[8]);
        sums[8] = sums[8] - v_w * T(g[9]);
        sums[9] = sums[9] + v_depth * select(s.disc, s.inv_w, T(R(1)));
    }
};

}  // namespace RECON_ISA
}  // namespace recon
