// The 3D Gaussian family: from a Gaussian and a camera to its footprint on the image, and back.
//
// Source: Kerbl et al. 2023 (3D Gaussian Splatting), Zwicker et al. 2001 (EWA) for the projection, Yu et al. 2024
// (Mip-Splatting) for the opacity compensation. The derivatives are exact, including those of the frustum clamp in the
// Jacobian, and are checked against dual numbers in tests/test_gaussian.cpp.
#pragma once

#include "recon/math.h"
#include "recon/spherical_harmonics.h"

namespace recon {
inline namespace RECON_ISA {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kMinAlpha = 1.0 / 255.0;          // a primitive adds nothing to a pixel below this
constexpr double kLog2MinAlpha = -7.994353436858858;  // log2 of it
constexpr double kMinTransmittance = 1e-4;         // a pixel is finished when the next primitive would leave less
constexpr double kFrustumMargin = 0.3;             // of tan(fov / 2): where the Jacobian stops following the mean
constexpr double kMinCompensation = 2.5e-5;        // floor of det S / det(S + eps I)

// One pinhole camera. S is a plain scalar, or a dual number in tests of the pose gradient.
template <class S>
struct Camera {
    Mat3<S> R;      // world to camera
    Vec3<S> t;      // world to camera
    Vec3<S> center; // world: -R^T t
    S fx, fy, cx, cy;                          // px
    S tan_left, tan_right, tan_up, tan_down;   // |x / z|, |y / z| at which the Jacobian is clamped
    S near_plane, far_plane;                   // along z
    S eps2d;                                   // px^2, added to the diagonal of the image covariance
    bool antialias;
};

template <class S>
RECON_HD void finish_camera(Camera<S>& camera, S width, S height) {
    camera.center = S(-1) * multiply_transposed(camera.R, camera.t);
    const S margin_x = S(kFrustumMargin * 0.5) * width / camera.fx, margin_y = S(kFrustumMargin * 0.5) * height / camera.fy;
    camera.tan_left = camera.cx / camera.fx + margin_x;
    camera.tan_right = (width - camera.cx) / camera.fx + margin_x;
    camera.tan_up = camera.cy / camera.fy + margin_y;
    camera.tan_down = (height - camera.cy) / camera.fy + margin_y;
}

template <class T>
struct Gaussian {
    Vec3<T> mean;       // world
    T quat[4];          // wxyz, any length
    Vec3<T> log_scale;
    T opacity_logit;
};

// The footprint on the image: alpha(d) = min(alpha_max, opacity exp(-q)), q = 0.5 a dx^2 + b dx dy + 0.5 c dy^2.
template <class T>
struct Footprint {
    T x, y;             // centre, px
    T a, b, c;          // inverse covariance, 1 / px^2
    T opacity;          // after compensation
    T depth;            // z in the camera frame
    Vec3<T> normal;     // world: the shortest axis, turned towards the camera
    T half_x, half_y;   // px: the box outside of which alpha < kMinAlpha
    Mask<T> visible;
};

template <class T>
struct FootprintGradient {
    T x, y, a, b, c, opacity, depth;
    Vec3<T> normal;
};

template <class T>
RECON_HD Mat3<T> rotation_of_unit_quaternion(T w, T x, T y, T z) {
    const T one = constant<T>(1), two = constant<T>(2);
    return {{{one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)},
             {two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)},
             {two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)}}};
}

// Quantities that the forward and the backward pass share.
template <class T>
struct GaussianProjection {
    Vec3<T> p;              // mean in the camera frame
    T inv_z, u, v;          // x / z, y / z
    T u_clamped, v_clamped;
    T inv_norm, q[4];       // unit quaternion
    Mat3<T> rotation;
    Vec3<T> scale;
    Mat3<T> M;              // rotation diag(scale)
    T k0, k1;               // fx / z, fy / z
    Vec3<T> b0, b1;         // rows of J R
    Vec3<T> a0, a1;         // rows of J R M: the image covariance is A A^T
    T s00, s01, s11, det0, det;
    T opacity_raw, rho;
};

template <class T>
RECON_HD T shortest_axis_component(const GaussianProjection<T>& g, int row) {
    const Mask<T> first = (g.scale.x <= g.scale.y) & (g.scale.x <= g.scale.z);
    const T second_or_third = select(g.scale.y <= g.scale.z, g.rotation.m[row][1], g.rotation.m[row][2]);
    return select(first, g.rotation.m[row][0], second_or_third);
}

template <class T, class S>
RECON_HD GaussianProjection<T> project_gaussian(const Gaussian<T>& in, const Camera<S>& camera) {
    GaussianProjection<T> g;
    const Vec3<T> rotated = multiply(camera.R, in.mean);
    g.p = {rotated.x + camera.t.x, rotated.y + camera.t.y, rotated.z + camera.t.z};
    g.inv_z = constant<T>(1) / g.p.z;
    g.u = g.p.x * g.inv_z;
    g.v = g.p.y * g.inv_z;
    g.u_clamped = clamp(g.u, T(-camera.tan_left), T(camera.tan_right));
    g.v_clamped = clamp(g.v, T(-camera.tan_up), T(camera.tan_down));

    const T norm2 = in.quat[0] * in.quat[0] + in.quat[1] * in.quat[1] + in.quat[2] * in.quat[2] + in.quat[3] * in.quat[3];
    g.inv_norm = constant<T>(1) / sqrt(max(norm2, constant<T>(1e-30)));
    for (int i = 0; i < 4; ++i) g.q[i] = in.quat[i] * g.inv_norm;
    g.rotation = rotation_of_unit_quaternion(g.q[0], g.q[1], g.q[2], g.q[3]);
    g.scale = {exp(in.log_scale.x), exp(in.log_scale.y), exp(in.log_scale.z)};
    for (int i = 0; i < 3; ++i) {
        g.M.m[i][0] = g.rotation.m[i][0] * g.scale.x;
        g.M.m[i][1] = g.rotation.m[i][1] * g.scale.y;
        g.M.m[i][2] = g.rotation.m[i][2] * g.scale.z;
    }
    g.k0 = camera.fx * g.inv_z;
    g.k1 = camera.fy * g.inv_z;
    const Vec3<S> r0 = camera.R.row(0), r1 = camera.R.row(1), r2 = camera.R.row(2);
    g.b0 = {g.k0 * (T(r0.x) - g.u_clamped * r2.x), g.k0 * (T(r0.y) - g.u_clamped * r2.y), g.k0 * (T(r0.z) - g.u_clamped * r2.z)};
    g.b1 = {g.k1 * (T(r1.x) - g.v_clamped * r2.x), g.k1 * (T(r1.y) - g.v_clamped * r2.y), g.k1 * (T(r1.z) - g.v_clamped * r2.z)};
    g.a0 = multiply_transposed(g.M, g.b0);
    g.a1 = multiply_transposed(g.M, g.b1);
    g.s00 = dot(g.a0, g.a0);
    g.s01 = dot(g.a0, g.a1);
    g.s11 = dot(g.a1, g.a1);
    // Lagrange's identity: the determinant of A A^T without the cancellation of s00 s11 - s01^2.
    const Vec3<T> normal = cross(g.a0, g.a1);
    g.det0 = dot(normal, normal);
    const T eps = T(camera.eps2d);
    g.det = g.det0 + eps * (g.s00 + g.s11) + eps * eps;
    g.opacity_raw = sigmoid(in.opacity_logit);
    g.rho = constant<T>(1);
    if (camera.antialias) g.rho = sqrt(max(g.det0 / g.det, constant<T>(kMinCompensation)));
    return g;
}

template <class T, class S>
RECON_HD Footprint<T> gaussian_footprint(const Gaussian<T>& in, const Camera<S>& camera) {
    const GaussianProjection<T> g = project_gaussian(in, camera);
    Footprint<T> f;
    f.x = camera.fx * g.u + T(camera.cx);
    f.y = camera.fy * g.v + T(camera.cy);
    const T eps = T(camera.eps2d), inv_det = constant<T>(1) / g.det;
    f.a = (g.s11 + eps) * inv_det;
    f.b = -(g.s01 * inv_det);
    f.c = (g.s00 + eps) * inv_det;
    f.opacity = g.opacity_raw * g.rho;
    f.depth = g.p.z;
    const Vec3<T> axis = {shortest_axis_component(g, 0), shortest_axis_component(g, 1), shortest_axis_component(g, 2)};
    const Vec3<T> sight = {in.mean.x - camera.center.x, in.mean.y - camera.center.y, in.mean.z - camera.center.z};
    const T sign = select(dot(axis, sight) > constant<T>(0), constant<T>(-1), constant<T>(1));
    f.normal = sign * axis;
    // alpha >= kMinAlpha is the ellipse q <= ln(opacity / kMinAlpha), whose box is exact.
    const T reach = constant<T>(2.0 / kLog2E) * (log2(max(f.opacity, constant<T>(1e-30))) - constant<T>(kLog2MinAlpha));
    const T safe = max(reach, constant<T>(0));
    f.half_x = sqrt(safe * (g.s00 + eps));
    f.half_y = sqrt(safe * (g.s11 + eps));
    // Written so that a NaN anywhere makes the Gaussian invisible (min and max inside exp may swallow one, so the
    // parameters are asked too); the upper bounds catch overflow to infinity.
    const T parameters = in.log_scale.x + in.log_scale.y + in.log_scale.z + in.opacity_logit;
    f.visible = (parameters <= parameters) & (g.p.z > T(camera.near_plane)) & (g.p.z < T(camera.far_plane)) & (reach > constant<T>(0)) &
                (g.det < constant<T>(1e30)) & (g.det > constant<T>(1e-30)) & (abs(f.x) + abs(f.y) < constant<T>(1e9));
    return f;
}

// Gradients of one Gaussian; those of the camera are added to by the caller's sum over all Gaussians.
template <class T>
struct GaussianGradient {
    Vec3<T> mean;
    T quat[4];
    Vec3<T> log_scale;
    T opacity_logit;
    Mat3<T> camera_R;   // through the position and the covariance
    Vec3<T> camera_t;
};

template <class T, class S>
RECON_HD GaussianGradient<T> gaussian_footprint_vjp(const Gaussian<T>& in, const Camera<S>& camera, const FootprintGradient<T>& v) {
    const GaussianProjection<T> g = project_gaussian(in, camera);
    const T zero = constant<T>(0), half = constant<T>(0.5), two = constant<T>(2);
    GaussianGradient<T> out;

    // Inverse covariance -> covariance: dS = -Q V Q with Q = [a b; b c] and V = [va vb/2; vb/2 vc].
    const T eps = T(camera.eps2d), inv_det = constant<T>(1) / g.det;
    const T S00 = g.s00 + eps, S11 = g.s11 + eps;
    const T a = S11 * inv_det, b = -(g.s01 * inv_det), c = S00 * inv_det;
    T g00 = -(a * a * v.a + a * b * v.b + b * b * v.c);
    T g11 = -(b * b * v.a + b * c * v.b + c * c * v.c);
    T g01 = -(two * a * b * v.a + (a * c + b * b) * v.b + two * b * c * v.c);

    // Opacity and its compensation rho^2 = det0 / det.
    const T v_raw = v.opacity * g.rho;
    out.opacity_logit = v_raw * g.opacity_raw * (constant<T>(1) - g.opacity_raw);
    if (camera.antialias) {
        const T ratio = g.det0 * inv_det;
        const T half_over_rho = half * v.opacity * g.opacity_raw / g.rho;
        const T v_ratio = select(ratio > constant<T>(kMinCompensation), half_over_rho, zero);
        // d ratio = (d det0 - ratio d det) / det
        const T v_det0 = v_ratio * inv_det, v_det = -(v_ratio * ratio * inv_det);
        g00 = g00 + v_det0 * g.s11 + v_det * S11;
        g11 = g11 + v_det0 * g.s00 + v_det * S00;
        g01 = g01 - two * g.s01 * (v_det0 + v_det);
    }

    // S = A A^T, A = B M, B = J R.
    const Vec3<T> v_a0 = (two * g00) * g.a0 + g01 * g.a1;
    const Vec3<T> v_a1 = (two * g11) * g.a1 + g01 * g.a0;
    const Vec3<T> v_b0 = multiply(g.M, v_a0), v_b1 = multiply(g.M, v_a1);
    const T b0[3] = {g.b0.x, g.b0.y, g.b0.z}, b1[3] = {g.b1.x, g.b1.y, g.b1.z};
    const T va0[3] = {v_a0.x, v_a0.y, v_a0.z}, va1[3] = {v_a1.x, v_a1.y, v_a1.z};
    const T scale[3] = {g.scale.x, g.scale.y, g.scale.z};
    Mat3<T> v_rot;
    T v_scale[3] = {zero, zero, zero};
    for (int i = 0; i < 3; ++i)
        for (int k = 0; k < 3; ++k) {
            const T v_m = b0[i] * va0[k] + b1[i] * va1[k];
            v_scale[k] = v_scale[k] + v_m * g.rotation.m[i][k];
            v_rot.m[i][k] = v_m * scale[k];
        }
    out.log_scale = {v_scale[0] * scale[0], v_scale[1] * scale[1], v_scale[2] * scale[2]};

    const Vec3<S> r0 = camera.R.row(0), r1 = camera.R.row(1), r2 = camera.R.row(2);
    const T v_k0 = dot(v_b0, r0) - g.u_clamped * dot(v_b0, r2);
    const T v_k1 = dot(v_b1, r1) - g.v_clamped * dot(v_b1, r2);
    const T inside_u = select((g.u > T(-camera.tan_left)) & (g.u < T(camera.tan_right)), constant<T>(1), zero);
    const T inside_v = select((g.v > T(-camera.tan_up)) & (g.v < T(camera.tan_down)), constant<T>(1), zero);
    const T v_u = camera.fx * v.x - inside_u * g.k0 * dot(v_b0, r2);
    const T v_v = camera.fy * v.y - inside_v * g.k1 * dot(v_b1, r2);
    const T v_inv_z = camera.fx * v_k0 + camera.fy * v_k1 + v_u * g.p.x + v_v * g.p.y;
    const Vec3<T> v_p = {v_u * g.inv_z, v_v * g.inv_z, v.depth - v_inv_z * g.inv_z * g.inv_z};
    out.mean = multiply_transposed(camera.R, v_p);
    out.camera_t = v_p;
    const T vp[3] = {v_p.x, v_p.y, v_p.z}, mean[3] = {in.mean.x, in.mean.y, in.mean.z};
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) out.camera_R.m[i][j] = vp[i] * mean[j];
    const T vb0[3] = {v_b0.x, v_b0.y, v_b0.z}, vb1[3] = {v_b1.x, v_b1.y, v_b1.z};
    for (int j = 0; j < 3; ++j) {
        out.camera_R.m[0][j] = out.camera_R.m[0][j] + g.k0 * vb0[j];
        out.camera_R.m[1][j] = out.camera_R.m[1][j] + g.k1 * vb1[j];
        out.camera_R.m[2][j] = out.camera_R.m[2][j] - g.k0 * g.u_clamped * vb0[j] - g.k1 * g.v_clamped * vb1[j];
    }

    // Normal: the chosen column of the rotation, with its sign.
    const Vec3<T> axis = {shortest_axis_component(g, 0), shortest_axis_component(g, 1), shortest_axis_component(g, 2)};
    const Vec3<T> sight = {in.mean.x - camera.center.x, in.mean.y - camera.center.y, in.mean.z - camera.center.z};
    const T sign = select(dot(axis, sight) > zero, constant<T>(-1), constant<T>(1));
    const Mask<T> first = (g.scale.x <= g.scale.y) & (g.scale.x <= g.scale.z);
    const T w0 = select(first, sign, zero);
    const T rest = select(first, zero, sign);
    const T w1 = select(g.scale.y <= g.scale.z, rest, zero);
    const T w2 = rest - w1;
    const T vn[3] = {v.normal.x, v.normal.y, v.normal.z};
    for (int i = 0; i < 3; ++i) {
        v_rot.m[i][0] = v_rot.m[i][0] + w0 * vn[i];
        v_rot.m[i][1] = v_rot.m[i][1] + w1 * vn[i];
        v_rot.m[i][2] = v_rot.m[i][2] + w2 * vn[i];
    }

    // Rotation -> unit quaternion -> stored quaternion.
    const T w = g.q[0], x = g.q[1], y = g.q[2], z = g.q[3];
    const auto& m = v_rot.m;
    const T vq[4] = {
        two * (x * (m[2][1] - m[1][2]) + y * (m[0][2] - m[2][0]) + z * (m[1][0] - m[0][1])),
        two * (y * (m[0][1] + m[1][0]) + z * (m[0][2] + m[2][0]) + w * (m[2][1] - m[1][2]) - two * x * (m[1][1] + m[2][2])),
        two * (x * (m[0][1] + m[1][0]) + z * (m[1][2] + m[2][1]) + w * (m[0][2] - m[2][0]) - two * y * (m[0][0] + m[2][2])),
        two * (x * (m[0][2] + m[2][0]) + y * (m[1][2] + m[2][1]) + w * (m[1][0] - m[0][1]) - two * z * (m[0][0] + m[1][1])),
    };
    const T along = w * vq[0] + x * vq[1] + y * vq[2] + z * vq[3];
    for (int i = 0; i < 4; ++i) out.quat[i] = (vq[i] - g.q[i] * along) * g.inv_norm;
    return out;
}

// Smallest value over the rectangle [x0, x1] x [y0, y1] (relative to the centre) of A dx^2 + B dx dy + C dy^2.
// The minimum of a convex quadratic over a box that does not hold its centre lies on an edge that faces it.
template <class T, class S>
RECON_HD T min_quadratic_over_box(S A, S B, S C, S minus_b_over_2a, S minus_b_over_2c, T x0, T x1, T y0, T y1) {
    const T zero = constant<T>(0);
    const T near_x = clamp(zero, x0, x1), near_y = clamp(zero, y0, y1);
    const T y = clamp(minus_b_over_2c * near_x, y0, y1), x = clamp(minus_b_over_2a * near_y, x0, x1);
    const T on_vertical = near_x * (A * near_x + B * y) + C * y * y;
    const T on_horizontal = x * (A * x + B * near_y) + C * near_y * near_y;
    return min(on_vertical, on_horizontal);
}

}  // namespace RECON_ISA
}  // namespace recon
