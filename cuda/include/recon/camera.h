// One pinhole camera, as every family's projection takes it.
#pragma once

#include "recon/math.h"

namespace recon {
inline namespace RECON_ISA {

constexpr double kFrustumMargin = 0.3;  // of tan(fov / 2): where the Jacobian of an ellipse stops following its mean

// S is a plain scalar, or a dual number in tests of the pose gradient.
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

// World -> camera frame.
template <class T, class S>
RECON_HD Vec3<T> to_camera(const Camera<S>& camera, const Vec3<T>& p) {
    const Vec3<T> rotated = multiply(camera.R, p);
    return {rotated.x + camera.t.x, rotated.y + camera.t.y, rotated.z + camera.t.z};
}

// Gradient of the pose, summed over primitives by the caller.
template <class T>
struct CameraGradient {
    Mat3<T> R;
    Vec3<T> t;

    RECON_HD CameraGradient() {
        const T zero = constant<T>(0);
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) R.m[i][j] = zero;
        t = {zero, zero, zero};
    }
};

// Gradient v of a point in the camera frame -> that of the pose (added) and of the world point (returned).
template <class T, class S>
RECON_HD Vec3<T> to_camera_vjp(const Camera<S>& camera, const Vec3<T>& world, const Vec3<T>& v, CameraGradient<T>& out) {
    const T vp[3] = {v.x, v.y, v.z}, p[3] = {world.x, world.y, world.z};
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) out.R.m[i][j] = out.R.m[i][j] + vp[i] * p[j];
    out.t = out.t + v;
    return multiply_transposed(camera.R, v);
}

}  // namespace RECON_ISA
}  // namespace recon
