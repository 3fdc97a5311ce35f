// One primitive (or sixteen, as a pack) through projection and shading, forward and backward: what a CUDA thread and a CPU lane
// do alike. `At` reads and writes rows: At::load(p, stride) and At::store(value, p, stride) where p is the first row's value.
#pragma once

#include "recon/footprint.h"
#include "recon/raster_args.h"
#include "recon/spherical_harmonics.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kCameraSums = 15;  // 9 of R, 3 of t, 3 of the camera centre

template <class Real>
RECON_HD Camera<Real> camera_of(const ProjectArgs<Real>& a) {
    Camera<Real> camera;
    const Real* w = a.world_to_camera;
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) camera.R.m[i][j] = w[4 * i + j];
    camera.t = {w[3], w[7], w[11]};
    camera.fx = a.K[0], camera.cx = a.K[2], camera.fy = a.K[4], camera.cy = a.K[5];
    camera.near_plane = a.near_plane, camera.far_plane = a.far_plane;
    camera.eps2d = a.eps2d, camera.antialias = a.antialias;
    finish_camera(camera, Real(a.width), Real(a.height));
    return camera;
}

// Columns of parameter k; only the first may have fewer than the family has room for.
template <class Family, class Real>
RECON_HD int columns(const ProjectArgs<Real>& a, int k) {
    return k == 0 && a.points > 0 ? 3 * a.points : Family::width(k);
}

template <class Family, class T, class At, class Real>
RECON_HD void load_values(const ProjectArgs<Real>& a, int64_t i, const At& at, T* values) {
    for (int k = 0, first = 0; k < Family::kParameters; first += Family::width(k++)) {
        const int width = columns<Family>(a, k);
        for (int c = 0; c < width; ++c) values[first + c] = at.load(a.parameters[k] + width * i + c, width);
    }
}

// Unit direction from the camera to a point, and one over their distance.
template <class T, class Real>
RECON_HD Vec3<T> sight_of(const Vec3<T>& p, const Camera<Real>& camera, T& inv_distance) {
    const Vec3<T> d = {p.x - camera.center.x, p.y - camera.center.y, p.z - camera.center.z};
    inv_distance = constant<T>(1) / sqrt(max(dot(d, d), constant<T>(1e-30)));
    return inv_distance * d;
}

template <class Family, class T, class At, class Real>
RECON_HD void project_primitive(const ProjectArgs<Real>& a, const Camera<Real>& camera, int64_t i, const At& at) {
    const T zero = constant<T>(0), half = constant<T>(0.5);
    T values[Family::kValues];
    load_values<Family>(a, i, at, values);
    Footprint<T, Family::kRecord> f;
    Family::project(values, a.points, camera, f);
    // Boxes that miss the image make a primitive invisible; half a pixel is the first pixel's centre.
    const Mask<T> visible = f.visible & (f.right >= half) & (f.left <= T(Real(a.width)) - half) & (f.bottom >= half) &
                            (f.top <= T(Real(a.height)) - half);
    const T sides[4] = {f.left, f.right, f.top, f.bottom};
    for (int k = 0; k < 4; ++k) at.store(select(visible, sides[k], k == 0 ? constant<T>(1) : zero), a.boxes + 4 * i + k, 4);
    const T radius = half * max(f.right - f.left, f.bottom - f.top);
    at.store_rounded_up(select(visible, min(radius, constant<T>(kFarthest)), zero), a.radii + i);
    for (int k = 0; k < Family::kRecord; ++k)
        at.store(select(visible, f.record[k], zero), a.records + Family::kRecord * i + k, Family::kRecord);

    const int channels = a.channels();
    Real* out = a.channel_values + channels * i;
    if (!any(visible)) {
        for (int k = 0; k < channels; ++k) at.store(zero, out + k, channels);
        return;
    }
    T basis[kMaxShCoefficients], inv_distance;
    sh_basis(a.sh_degree, sight_of(Family::center(values, a.points), camera, inv_distance), basis);
    const int terms = (a.sh_degree + 1) * (a.sh_degree + 1), stride = 3 * a.sh_coefficients;
    for (int c = 0; c < 3; ++c) {
        T color = half;
        for (int j = 0; j < terms; ++j) color = color + basis[j] * at.load(a.sh_coeffs + int64_t(stride) * i + 3 * j + c, stride);
        at.store(select(visible, max(color, zero), zero), out++, channels);
    }
    // A depth that varies over the footprint is added pixel by pixel instead.
    if (a.depth) at.store(Family::kPixelDepth ? zero : select(visible, f.record[2], zero), out++, channels);
    if (a.normal) {
        at.store(select(visible, f.normal.x, zero), out++, channels);
        at.store(select(visible, f.normal.y, zero), out++, channels);
        at.store(select(visible, f.normal.z, zero), out++, channels);
    }
    for (int k = 0; k < a.features; ++k) at.store(at.load(a.feature_values + a.features * i + k, a.features), out++, channels);
}

// Zero gradients for primitives that no pixel saw.
template <class Family, class T, class At, class Real>
RECON_HD void clear_gradients(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, int64_t i, const At& at) {
    const T zero = constant<T>(0);
    const auto clear = [&](Real* p, int width) {
        if (p)
            for (int c = 0; c < width; ++c) at.store(zero, p + int64_t(width) * i + c, width);
    };
    for (int k = 0; k < Family::kParameters; ++k) clear(b.v_parameters[k], columns<Family>(a, k));
    clear(b.v_sh_coeffs, 3 * a.sh_coefficients);
    clear(b.v_feature_values, a.features);
    clear(b.v_probe, b.probe);
}

// From the sums over pixels, F::kMoments (+ kExtraMoments) + C of them, to the gradients of everything that a primitive is made
// of; lanes not `seen` get zeros. Those of the camera are added to camera_sums.
template <class Family, class T, class At, class Real>
RECON_HD void project_primitive_backward(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, const Camera<Real>& camera,
                                         int64_t i, const At& at, const T* sums, const Mask<T>& seen, T* camera_sums) {
    const T zero = constant<T>(0), half = constant<T>(0.5);
    // Lanes that no pixel saw may hold NaN or infinity (a point on the camera plane): they are replaced, not scaled.
    const auto keep = [&](const T& x) { return select(seen, x, zero); };
    T values[Family::kValues], v_values[Family::kValues], shift[2];
    load_values<Family>(a, i, at, values);

    FootprintGradient<T, Family::kMoments> v;
    for (int k = 0; k < Family::kMoments; ++k) v.moments[k] = sums[k];
    const T* extra = sums + Family::kMoments;
    const T *color = extra + (b.extra ? kExtraMoments : 0), *feature = color + 3;
    v.depth = b.extra ? extra[3] : zero;
    if (a.depth) {
        if (!Family::kPixelDepth) v.depth = v.depth + *feature;
        ++feature;
    }
    v.normal = {zero, zero, zero};
    if (a.normal) {
        v.normal = {feature[0], feature[1], feature[2]};
        feature += 3;
    }
    CameraGradient<T> v_camera;
    Family::project_vjp(values, a.points, camera, v, v_values, v_camera, shift);

    // Colour: harmonics, then the direction they were evaluated at.
    T basis[kMaxShCoefficients], v_basis[kMaxShCoefficients], inv_distance;
    const Vec3<T> sight = sight_of(Family::center(values, a.points), camera, inv_distance);
    sh_basis(a.sh_degree, sight, basis);
    const int terms = (a.sh_degree + 1) * (a.sh_degree + 1), stride = 3 * a.sh_coefficients;
    for (int j = 0; j < terms; ++j) v_basis[j] = zero;
    for (int c = 0; c < 3; ++c) {
        const Real* sh = a.sh_coeffs + int64_t(stride) * i + c;
        T value = half, coefficients[kMaxShCoefficients];
        for (int j = 0; j < terms; ++j) {
            coefficients[j] = at.load(sh + 3 * j, stride);
            value = value + basis[j] * coefficients[j];
        }
        const T v_color = select(value > zero, keep(color[c]), zero);
        for (int j = 0; j < terms; ++j) {
            v_basis[j] = v_basis[j] + v_color * coefficients[j];
            if (b.v_sh_coeffs) at.store(keep(basis[j] * v_color), b.v_sh_coeffs + int64_t(stride) * i + 3 * j + c, stride);
        }
        if (b.v_sh_coeffs)
            for (int j = terms; j < a.sh_coefficients; ++j) at.store(zero, b.v_sh_coeffs + int64_t(stride) * i + 3 * j + c, stride);
    }
    const Vec3<T> v_sight = sh_basis_vjp(a.sh_degree, sight, v_basis);
    const T along = dot(v_sight, sight);
    const Vec3<T> v_offset = {inv_distance * (v_sight.x - along * sight.x), inv_distance * (v_sight.y - along * sight.y),
                              inv_distance * (v_sight.z - along * sight.z)};
    Family::center_vjp(v_offset, a.points, v_values);

    for (int k = 0, first = 0; k < Family::kParameters; first += Family::width(k++)) {
        const int width = columns<Family>(a, k);
        if (b.v_parameters[k])
            for (int c = 0; c < width; ++c) at.store(keep(v_values[first + c]), b.v_parameters[k] + width * i + c, width);
    }
    if (b.v_feature_values)
        for (int k = 0; k < a.features; ++k) at.store(keep(feature[k]), b.v_feature_values + a.features * i + k, a.features);
    if (b.v_probe) {
        at.store(keep(shift[0]), b.v_probe + b.probe * i, b.probe);
        at.store(keep(shift[1]), b.v_probe + b.probe * i + 1, b.probe);
        for (int k = 2; k < b.probe; ++k) at.store(keep(extra[k - 2]), b.v_probe + b.probe * i + k, b.probe);
    }
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 3; ++c) camera_sums[3 * r + c] = camera_sums[3 * r + c] + keep(v_camera.R.m[r][c]);
    const T t[3] = {v_camera.t.x, v_camera.t.y, v_camera.t.z}, o[3] = {v_offset.x, v_offset.y, v_offset.z};
    for (int k = 0; k < 3; ++k) {
        camera_sums[9 + k] = camera_sums[9 + k] + keep(t[k]);
        camera_sums[12 + k] = camera_sums[12 + k] - keep(o[k]);
    }
}

// The camera's sums over all primitives -> the gradient of the pose matrix.
template <class Real>
RECON_HD void finish_camera_gradient(const Real* world_to_camera, const double* total, Real* v_world_to_camera) {
    // The centre is -R^T t, so its gradient v_o adds -R v_o to t and -t v_o^T to R.
    const Real* w = world_to_camera;
    for (int r = 0; r < 3; ++r) {
        double v_t = total[9 + r];
        for (int c = 0; c < 3; ++c) {
            v_world_to_camera[4 * r + c] = Real(total[3 * r + c] - double(w[4 * r + 3]) * total[12 + c]);
            v_t -= double(w[4 * r + c]) * total[12 + c];
        }
        v_world_to_camera[4 * r + 3] = Real(v_t);
    }
    for (int c = 0; c < 4; ++c) v_world_to_camera[12 + c] = 0;
}

}  // namespace RECON_ISA
}  // namespace recon
