// An ellipsoid (mean, rotation, scales) seen by a camera: its image covariance, and back.
//
// Shared by the families whose weight is a function of d^T S^-1 d. Source: Kerbl et al. 2023 (3D Gaussian Splatting),
// Zwicker et al. 2001 (EWA) for the projection, Yu et al. 2024 (Mip-Splatting) for the opacity compensation. The
// derivatives are exact, including those of the frustum clamp in the Jacobian.
#pragma once

#include "recon/footprint.h"

namespace recon {
inline namespace RECON_ISA {

constexpr double kMinCompensation = 2.5e-5;  // floor of det S / det(S + eps I)

template <class T>
RECON_HD Mat3<T> rotation_of_unit_quaternion(T w, T x, T y, T z) {
    const T one = constant<T>(1), two = constant<T>(2);
    return {{{one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)},
             {two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)},
             {two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)}}};
}

// A stored quaternion, wxyz of any length, and the rotation that it stands for.
template <class T>
struct Orientation {
    T inv_norm, q[4];
    Mat3<T> rotation;

    RECON_HD explicit Orientation(const T* quat) {
        const T norm2 = quat[0] * quat[0] + quat[1] * quat[1] + quat[2] * quat[2] + quat[3] * quat[3];
        inv_norm = constant<T>(1) / sqrt(max(norm2, constant<T>(1e-30)));
        for (int i = 0; i < 4; ++i) q[i] = quat[i] * inv_norm;
        rotation = rotation_of_unit_quaternion(q[0], q[1], q[2], q[3]);
    }

    // Gradient of the rotation matrix -> that of the stored quaternion.
    RECON_HD void vjp(const Mat3<T>& v_rotation, T* v_quat) const {
        const T two = constant<T>(2);
        const T w = q[0], x = q[1], y = q[2], z = q[3];
        const auto& m = v_rotation.m;
        const T vq[4] = {
            two * (x * (m[2][1] - m[1][2]) + y * (m[0][2] - m[2][0]) + z * (m[1][0] - m[0][1])),
            two * (y * (m[0][1] + m[1][0]) + z * (m[0][2] + m[2][0]) + w * (m[2][1] - m[1][2]) - two * x * (m[1][1] + m[2][2])),
            two * (x * (m[0][1] + m[1][0]) + z * (m[1][2] + m[2][1]) + w * (m[0][2] - m[2][0]) - two * y * (m[0][0] + m[2][2])),
            two * (x * (m[0][2] + m[2][0]) + y * (m[1][2] + m[2][1]) + w * (m[1][0] - m[0][1]) - two * z * (m[0][0] + m[1][1])),
        };
        const T along = w * vq[0] + x * vq[1] + y * vq[2] + z * vq[3];
        for (int i = 0; i < 4; ++i) v_quat[i] = (vq[i] - q[i] * along) * inv_norm;
    }
};

// Values: mean (3), quat (4), log_scale (3), opacity_logit.
template <class T, class S>
struct Ellipse {
    const Camera<S>& camera;
    Vec3<T> mean, p;        // world, camera frame
    T inv_z, u, v;          // x / z, y / z
    T u_clamped, v_clamped;
    Orientation<T> orientation;
    Vec3<T> scale;
    Mat3<T> M;              // rotation diag(scale)
    T k0, k1;               // fx / z, fy / z
    Vec3<T> b0, b1;         // rows of J R
    Vec3<T> a0, a1;         // rows of J R M: the image covariance is A A^T
    T s00, s01, s11, det0, det, inv_det;
    T opacity_raw, rho;     // before compensation, compensation
    T parameters;           // NaN when a parameter is

    RECON_HD Ellipse(const T* values, const Camera<S>& c) : camera(c), orientation(values + 3) {
        mean = {values[0], values[1], values[2]};
        parameters = values[7] + values[8] + values[9] + values[10];
        p = to_camera(camera, mean);
        inv_z = constant<T>(1) / p.z;
        u = p.x * inv_z;
        v = p.y * inv_z;
        u_clamped = clamp(u, T(-camera.tan_left), T(camera.tan_right));
        v_clamped = clamp(v, T(-camera.tan_up), T(camera.tan_down));
        scale = {exp(values[7]), exp(values[8]), exp(values[9])};
        const auto& rotation = orientation.rotation;
        for (int i = 0; i < 3; ++i) {
            M.m[i][0] = rotation.m[i][0] * scale.x;
            M.m[i][1] = rotation.m[i][1] * scale.y;
            M.m[i][2] = rotation.m[i][2] * scale.z;
        }
        k0 = camera.fx * inv_z;
        k1 = camera.fy * inv_z;
        const Vec3<S> r0 = camera.R.row(0), r1 = camera.R.row(1), r2 = camera.R.row(2);
        b0 = {k0 * (T(r0.x) - u_clamped * r2.x), k0 * (T(r0.y) - u_clamped * r2.y), k0 * (T(r0.z) - u_clamped * r2.z)};
        b1 = {k1 * (T(r1.x) - v_clamped * r2.x), k1 * (T(r1.y) - v_clamped * r2.y), k1 * (T(r1.z) - v_clamped * r2.z)};
        a0 = multiply_transposed(M, b0);
        a1 = multiply_transposed(M, b1);
        s00 = dot(a0, a0);
        s01 = dot(a0, a1);
        s11 = dot(a1, a1);
        // Lagrange's identity: the determinant of A A^T without the cancellation of s00 s11 - s01^2.
        const Vec3<T> normal = cross(a0, a1);
        det0 = dot(normal, normal);
        const T eps = T(camera.eps2d);
        det = det0 + eps * (s00 + s11) + eps * eps;
        inv_det = constant<T>(1) / det;
        opacity_raw = sigmoid(values[10]);
        rho = constant<T>(1);
        if (camera.antialias) rho = sqrt(max(det0 / det, constant<T>(kMinCompensation)));
    }

    RECON_HD T x() const { return camera.fx * u + T(camera.cx); }
    RECON_HD T y() const { return camera.fy * v + T(camera.cy); }
    RECON_HD T S00() const { return s00 + T(camera.eps2d); }
    RECON_HD T S11() const { return s11 + T(camera.eps2d); }
    // The inverse covariance [a b; b c], 1 / px^2.
    RECON_HD T a() const { return S11() * inv_det; }
    RECON_HD T b() const { return -(s01 * inv_det); }
    RECON_HD T c() const { return S00() * inv_det; }
    RECON_HD T opacity() const { return opacity_raw * rho; }

    // A NaN anywhere makes the primitive invisible (min and max inside exp may swallow one, so the parameters are asked
    // too); the upper bounds catch overflow to infinity.
    RECON_HD Mask<T> valid() const {
        return (parameters <= parameters) & (p.z > T(camera.near_plane)) & (p.z < T(camera.far_plane)) &
               (det < constant<T>(1e30)) & (det > constant<T>(1e-30)) & (abs(x()) + abs(y()) < constant<T>(kFarthest));
    }

    RECON_HD T shortest_axis_component(int row) const {
        const auto& m = orientation.rotation.m;
        const Mask<T> first = (scale.x <= scale.y) & (scale.x <= scale.z);
        return select(first, m[row][0], select(scale.y <= scale.z, m[row][1], m[row][2]));
    }
    // +1 or -1: turns the shortest axis towards the camera.
    RECON_HD T facing() const {
        const Vec3<T> axis = {shortest_axis_component(0), shortest_axis_component(1), shortest_axis_component(2)};
        const Vec3<T> sight = {mean.x - camera.center.x, mean.y - camera.center.y, mean.z - camera.center.z};
        return select(dot(axis, sight) > constant<T>(0), constant<T>(-1), constant<T>(1));
    }
    RECON_HD Vec3<T> normal() const {
        const T sign = facing();
        return {sign * shortest_axis_component(0), sign * shortest_axis_component(1), sign * shortest_axis_component(2)};
    }

    struct Gradient {
        T x, y, a, b, c, opacity, depth;
        Vec3<T> normal;
    };

    RECON_HD void vjp(const Gradient& g, T* v_values, CameraGradient<T>& v_camera) const {
        const T zero = constant<T>(0), half = constant<T>(0.5), two = constant<T>(2);
        // Inverse covariance -> covariance: dS = -Q V Q with Q = [a b; b c] and V = [va vb/2; vb/2 vc].
        const T qa = a(), qb = b(), qc = c();
        T g00 = -(qa * qa * g.a + qa * qb * g.b + qb * qb * g.c);
        T g11 = -(qb * qb * g.a + qb * qc * g.b + qc * qc * g.c);
        T g01 = -(two * qa * qb * g.a + (qa * qc + qb * qb) * g.b + two * qb * qc * g.c);

        // Opacity and its compensation rho^2 = det0 / det.
        v_values[10] = g.opacity * rho * opacity_raw * (constant<T>(1) - opacity_raw);
        if (camera.antialias) {
            const T ratio = det0 * inv_det;
            const T half_over_rho = half * g.opacity * opacity_raw / rho;
            const T v_ratio = select(ratio > constant<T>(kMinCompensation), half_over_rho, zero);
            // d ratio = (d det0 - ratio d det) / det
            const T v_det0 = v_ratio * inv_det, v_det = -(v_ratio * ratio * inv_det);
            g00 = g00 + v_det0 * s11 + v_det * S11();
            g11 = g11 + v_det0 * s00 + v_det * S00();
            g01 = g01 - two * s01 * (v_det0 + v_det);
        }

        // S = A A^T, A = B M, B = J R.
        const Vec3<T> v_a0 = (two * g00) * a0 + g01 * a1;
        const Vec3<T> v_a1 = (two * g11) * a1 + g01 * a0;
        const Vec3<T> v_b0 = multiply(M, v_a0), v_b1 = multiply(M, v_a1);
        const T row0[3] = {b0.x, b0.y, b0.z}, row1[3] = {b1.x, b1.y, b1.z};
        const T va0[3] = {v_a0.x, v_a0.y, v_a0.z}, va1[3] = {v_a1.x, v_a1.y, v_a1.z};
        const T scales[3] = {scale.x, scale.y, scale.z};
        Mat3<T> v_rotation;
        T v_scale[3] = {zero, zero, zero};
        for (int i = 0; i < 3; ++i)
            for (int k = 0; k < 3; ++k) {
                const T v_m = row0[i] * va0[k] + row1[i] * va1[k];
                v_scale[k] = v_scale[k] + v_m * orientation.rotation.m[i][k];
                v_rotation.m[i][k] = v_m * scales[k];
            }
        for (int k = 0; k < 3; ++k) v_values[7 + k] = v_scale[k] * scales[k];

        const Vec3<S> r0 = camera.R.row(0), r1 = camera.R.row(1), r2 = camera.R.row(2);
        const T v_k0 = dot(v_b0, r0) - u_clamped * dot(v_b0, r2);
        const T v_k1 = dot(v_b1, r1) - v_clamped * dot(v_b1, r2);
        const T inside_u = select((u > T(-camera.tan_left)) & (u < T(camera.tan_right)), constant<T>(1), zero);
        const T inside_v = select((v > T(-camera.tan_up)) & (v < T(camera.tan_down)), constant<T>(1), zero);
        const T v_u = camera.fx * g.x - inside_u * k0 * dot(v_b0, r2);
        const T v_v = camera.fy * g.y - inside_v * k1 * dot(v_b1, r2);
        const T v_inv_z = camera.fx * v_k0 + camera.fy * v_k1 + v_u * p.x + v_v * p.y;
        const Vec3<T> v_p = {v_u * inv_z, v_v * inv_z, g.depth - v_inv_z * inv_z * inv_z};
        const Vec3<T> v_mean = to_camera_vjp(camera, mean, v_p, v_camera);
        v_values[0] = v_mean.x, v_values[1] = v_mean.y, v_values[2] = v_mean.z;
        const T vb0[3] = {v_b0.x, v_b0.y, v_b0.z}, vb1[3] = {v_b1.x, v_b1.y, v_b1.z};
        for (int j = 0; j < 3; ++j) {
            v_camera.R.m[0][j] = v_camera.R.m[0][j] + k0 * vb0[j];
            v_camera.R.m[1][j] = v_camera.R.m[1][j] + k1 * vb1[j];
            v_camera.R.m[2][j] = v_camera.R.m[2][j] - k0 * u_clamped * vb0[j] - k1 * v_clamped * vb1[j];
        }

        // Normal: the chosen column of the rotation, with its sign.
        const T sign = facing();
        const Mask<T> first = (scale.x <= scale.y) & (scale.x <= scale.z);
        const T w0 = select(first, sign, zero);
        const T rest = select(first, zero, sign);
        const T w1 = select(scale.y <= scale.z, rest, zero);
        const T w2 = rest - w1;
        const T vn[3] = {g.normal.x, g.normal.y, g.normal.z};
        for (int i = 0; i < 3; ++i) {
            v_rotation.m[i][0] = v_rotation.m[i][0] + w0 * vn[i];
            v_rotation.m[i][1] = v_rotation.m[i][1] + w1 * vn[i];
            v_rotation.m[i][2] = v_rotation.m[i][2] + w2 * vn[i];
        }
        orientation.vjp(v_rotation, v_values + 3);
    }
};

// The sums over pixels that families with a quadratic in their weight share: of g, g dx, g dy, g dx^2, g dx dy, g dy^2.
template <class T>
RECON_HD void add_quadratic_moments(const T& g, const T& dx, const T& dy, T* sums) {
    const T along_x = g * dx, along_y = g * dy;
    sums[0] = sums[0] + along_x;
    sums[1] = sums[1] + along_y;
    sums[2] = sums[2] + along_x * dx;
    sums[3] = sums[3] + along_x * dy;
    sums[4] = sums[4] + along_y * dy;
}

}  // namespace RECON_ISA
}  // namespace recon
