// Projection of all primitives, forward and backward: sixteen primitives per pack, chunks of them per task.
#pragma once

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/gaussian.h"
#include "recon/raster_args.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kProjectChunk = 512;      // primitives per task; a multiple of kLanes, fixed so that sums do not depend on threads
constexpr int kCameraSums = 15;         // 9 of R, 3 of t, 3 of the camera centre

template <class Real>
Camera<Real> camera_of(const ProjectArgs<Real>& a) {
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

template <class Real>
RECON_HD Gaussian<Pack<Real>> load_gaussians(const ProjectArgs<Real>& a, int64_t i, int count) {
    using P = Pack<Real>;
    Gaussian<P> g;
    const Real *m = a.means + 3 * i, *q = a.quats + 4 * i, *s = a.log_scales + 3 * i;
    g.mean = {P::gather(m, 3, count), P::gather(m + 1, 3, count), P::gather(m + 2, 3, count)};
    for (int k = 0; k < 4; ++k) g.quat[k] = P::gather(q + k, 4, count);
    g.log_scale = {P::gather(s, 3, count), P::gather(s + 1, 3, count), P::gather(s + 2, 3, count)};
    g.opacity_logit = P::gather(a.opacity_logits + i, 1, count);
    return g;
}

// Unit direction from the camera to the primitive, and one over their distance.
template <class Real>
RECON_HD Vec3<Pack<Real>> sight_of(const Vec3<Pack<Real>>& mean, const Camera<Real>& camera, Pack<Real>& inv_distance) {
    using P = Pack<Real>;
    const Vec3<P> d = {mean.x - camera.center.x, mean.y - camera.center.y, mean.z - camera.center.z};
    inv_distance = P(Real(1)) / sqrt(max(dot(d, d), P(Real(1e-30))));
    return inv_distance * d;
}

template <class Real>
RECON_HD Pack<Real> sh_channel(const Real* sh, int64_t stride, int count, const Pack<Real>* basis, int terms) {
    using P = Pack<Real>;
    P sum = P(Real(0.5));
    for (int j = 0; j < terms; ++j) sum = sum + basis[j] * P::gather(sh + 3 * j, stride, count);
    return sum;
}

template <class Real>
void project_group(const ProjectArgs<Real>& a, const Camera<Real>& camera, int64_t i, int count) {
    using P = Pack<Real>;
    const P zero = P(Real(0));
    const Gaussian<P> in = load_gaussians(a, i, count);
    const Footprint<P> f = gaussian_footprint(in, camera);
    // Boxes that miss the image make a primitive invisible; half a pixel is the first pixel's centre.
    const P half = P(Real(0.5));
    const auto on_image = (f.x + f.half_x >= half) & (f.x - f.half_x <= P(Real(a.width)) - half) &
                          (f.y + f.half_y >= half) & (f.y - f.half_y <= P(Real(a.height)) - half);
    const auto visible = f.visible & on_image;
    const int channels = a.channels();
    if (!visible.bits()) {
        for (int l = 0; l < count; ++l) {
            a.radii[i + l] = 0;
            a.half_extents[2 * (i + l)] = a.half_extents[2 * (i + l) + 1] = 0;
            for (int k = 0; k < kGeometryWidth; ++k) a.geometry[kGeometryWidth * (i + l) + k] = 0;
            for (int k = 0; k < channels; ++k) a.channel_values[channels * (i + l) + k] = 0;
        }
        return;
    }
    const P to_log2 = P(Real(kLog2E));
    const P record[kGeometryWidth] = {f.x, f.y, half * to_log2 * f.a, to_log2 * f.b, half * to_log2 * f.c,
                                      log2(max(f.opacity, P(Real(1e-30)))), f.depth, zero};
    for (int k = 0; k < kGeometryWidth; ++k)
        select(visible, record[k], zero).scatter(a.geometry + kGeometryWidth * i + k, kGeometryWidth, count);
    const P half_x = select(visible, f.half_x, zero), half_y = select(visible, f.half_y, zero);
    half_x.scatter(a.half_extents + 2 * i, 2, count);
    half_y.scatter(a.half_extents + 2 * i + 1, 2, count);
    const P radius = max(half_x, half_y);
    for (int l = 0; l < count; ++l) {
        const Real r = radius[l];
        a.radii[i + l] = r > 0 ? int32_t(r < Real(1e9) ? r : Real(1e9)) + 1 : 0;
    }

    P basis[kMaxShCoefficients], inv_distance;
    sh_basis(a.sh_degree, sight_of(in.mean, camera, inv_distance), basis);
    const int terms = (a.sh_degree + 1) * (a.sh_degree + 1);
    const int64_t stride = 3 * int64_t(a.sh_coefficients);
    Real* out = a.channel_values + channels * i;
    for (int c = 0; c < 3; ++c) {
        const P color = max(sh_channel(a.sh_coeffs + stride * i + c, stride, count, basis, terms), zero);
        select(visible, color, zero).scatter(out++, channels, count);
    }
    if (a.depth) select(visible, f.depth, zero).scatter(out++, channels, count);
    if (a.normal) {
        select(visible, f.normal.x, zero).scatter(out++, channels, count);
        select(visible, f.normal.y, zero).scatter(out++, channels, count);
        select(visible, f.normal.z, zero).scatter(out++, channels, count);
    }
    for (int k = 0; k < a.features; ++k)
        P::gather(a.feature_values + a.features * i + k, a.features, count).scatter(out++, channels, count);
}

template <class Real>
void project_forward(const ProjectArgs<Real>& a) {
    const Camera<Real> camera = camera_of(a);
    parallel_for((a.count + kProjectChunk - 1) / kProjectChunk, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kProjectChunk, end = begin + kProjectChunk < a.count ? begin + kProjectChunk : a.count;
        for (int64_t i = begin; i < end; i += kLanes) project_group(a, camera, i, int(end - i < kLanes ? end - i : kLanes));
    });
}

// Zero gradients for a group that no pixel saw.
template <class Real>
void clear_group(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, int64_t i, int count) {
    const auto clear = [&](Real* p, int64_t columns) {
        if (p) std::memset(p + columns * i, 0, size_t(columns * count) * sizeof(Real));
    };
    clear(b.v_means, 3);
    clear(b.v_quats, 4);
    clear(b.v_log_scales, 3);
    clear(b.v_opacity_logits, 1);
    clear(b.v_sh_coeffs, 3 * int64_t(a.sh_coefficients));
    clear(b.v_feature_values, a.features);
    clear(b.v_probe, 4);
}

template <class Real>
void project_group_backward(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, const Camera<Real>& camera,
                            int64_t i, int count, Pack<Real>* camera_sums) {
    using P = Pack<Real>;
    constexpr int kMaxWidth = kMomentWidth + kMaxChannels;
    const int channels = a.channels(), width = kMomentWidth + channels;
    if (b.slot_offsets[i] == b.slot_offsets[i + count]) return clear_group(a, b, i, count);

    // Sum the slots of each primitive, in order.
    alignas(64) Real sums[kLanes][kMaxWidth] = {};
    uint32_t seen = 0;
    for (int l = 0; l < count; ++l) {
        seen |= uint32_t(b.slot_offsets[i + l] < b.slot_offsets[i + l + 1]) << l;
        for (int64_t slot = b.slot_offsets[i + l]; slot < b.slot_offsets[i + l + 1]; ++slot) {
            const Real* moments = b.moments + slot * width;
            for (int k = 0; k < width; ++k) sums[l][k] += moments[k];
        }
    }
    P s[kMaxWidth];
    for (int k = 0; k < width; ++k) s[k] = P::gather(&sums[0][k], kMaxWidth, kLanes);

    const Gaussian<P> in = load_gaussians(a, i, count);
    const Footprint<P> f = gaussian_footprint(in, camera);
    const P zero = P(Real(0)), half = P(Real(0.5));
    FootprintGradient<P> v;
    v.x = -(f.a * s[1] + f.b * s[2]);
    v.y = -(f.b * s[1] + f.c * s[2]);
    v.a = half * s[3];
    v.b = s[4];
    v.c = half * s[5];
    v.opacity = -(s[0] / f.opacity);
    v.depth = s[8];
    const P* channel = s + kMomentWidth;
    const P *color = channel, *features = channel + 3;
    if (a.depth) v.depth = v.depth + *features++;
    v.normal = {zero, zero, zero};
    if (a.normal) {
        v.normal = {features[0], features[1], features[2]};
        features += 3;
    }
    GaussianGradient<P> out = gaussian_footprint_vjp(in, camera, v);

    // Colour: harmonics, then the direction they were evaluated at.
    P basis[kMaxShCoefficients], v_basis[kMaxShCoefficients], inv_distance;
    const Vec3<P> sight = sight_of(in.mean, camera, inv_distance);
    sh_basis(a.sh_degree, sight, basis);
    const int terms = (a.sh_degree + 1) * (a.sh_degree + 1);
    const int64_t stride = 3 * int64_t(a.sh_coefficients);
    for (int j = 0; j < terms; ++j) v_basis[j] = zero;

    // Lanes that no pixel saw may hold NaN or infinity (a point on the camera plane): they are replaced, not scaled.
    alignas(64) typename P::Int lane_mask[kLanes];
    for (int l = 0; l < kLanes; ++l) lane_mask[l] = (seen >> l & 1) ? -1 : 0;
    PackMask<Real> valid;
    std::memcpy(valid.m, lane_mask, sizeof(valid.m));
    const auto keep = [&](const P& x) { return select(valid, x, zero); };

    for (int c = 0; c < 3; ++c) {
        const Real* sh = a.sh_coeffs + stride * i + c;
        P value = half, coefficients[kMaxShCoefficients];
        for (int j = 0; j < terms; ++j) {
            coefficients[j] = P::gather(sh + 3 * j, stride, count);
            value = value + basis[j] * coefficients[j];
        }
        const P v_color = select(value > zero, keep(color[c]), zero);
        for (int j = 0; j < terms; ++j) {
            v_basis[j] = v_basis[j] + v_color * coefficients[j];
            if (b.v_sh_coeffs) keep(basis[j] * v_color).scatter(b.v_sh_coeffs + stride * i + 3 * j + c, stride, count);
        }
        if (b.v_sh_coeffs)
            for (int j = terms; j < a.sh_coefficients; ++j) zero.scatter(b.v_sh_coeffs + stride * i + 3 * j + c, stride, count);
    }
    const Vec3<P> v_sight = sh_basis_vjp(a.sh_degree, sight, v_basis);
    const P along = dot(v_sight, sight);
    const Vec3<P> v_offset = {inv_distance * (v_sight.x - along * sight.x), inv_distance * (v_sight.y - along * sight.y),
                              inv_distance * (v_sight.z - along * sight.z)};
    out.mean = out.mean + v_offset;

    const P means[3] = {out.mean.x, out.mean.y, out.mean.z};
    const P scales[3] = {out.log_scale.x, out.log_scale.y, out.log_scale.z};
    for (int k = 0; k < 3; ++k) {
        if (b.v_means) keep(means[k]).scatter(b.v_means + 3 * i + k, 3, count);
        if (b.v_log_scales) keep(scales[k]).scatter(b.v_log_scales + 3 * i + k, 3, count);
    }
    if (b.v_quats)
        for (int k = 0; k < 4; ++k) keep(out.quat[k]).scatter(b.v_quats + 4 * i + k, 4, count);
    if (b.v_opacity_logits) keep(out.opacity_logit).scatter(b.v_opacity_logits + i, 1, count);
    if (b.v_feature_values)
        for (int k = 0; k < a.features; ++k)
            keep(features[k]).scatter(b.v_feature_values + a.features * i + k, a.features, count);
    if (b.v_probe) {
        const P probe[4] = {v.x, v.y, s[6], s[7]};
        for (int k = 0; k < 4; ++k) keep(probe[k]).scatter(b.v_probe + 4 * i + k, 4, count);
    }
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 3; ++c) camera_sums[3 * r + c] = camera_sums[3 * r + c] + keep(out.camera_R.m[r][c]);
    const P t[3] = {out.camera_t.x, out.camera_t.y, out.camera_t.z}, o[3] = {v_offset.x, v_offset.y, v_offset.z};
    for (int k = 0; k < 3; ++k) {
        camera_sums[9 + k] = camera_sums[9 + k] + keep(t[k]);
        camera_sums[12 + k] = camera_sums[12 + k] - keep(o[k]);
    }
}

// `partial` holds kCameraSums values for each of the ceil(N / kProjectChunk) tasks.
template <class Real>
void project_backward(const ProjectArgs<Real>& a, const ProjectBackwardArgs<Real>& b, Real* partial) {
    using P = Pack<Real>;
    const Camera<Real> camera = camera_of(a);
    const int64_t chunks = (a.count + kProjectChunk - 1) / kProjectChunk;
    parallel_for(chunks, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kProjectChunk, end = begin + kProjectChunk < a.count ? begin + kProjectChunk : a.count;
        P sums[kCameraSums];
        for (P& sum : sums) sum = P(Real(0));
        for (int64_t i = begin; i < end; i += kLanes)
            project_group_backward(a, b, camera, i, int(end - i < kLanes ? end - i : kLanes), sums);
        sum_lanes<kCameraSums>(sums, partial + kCameraSums * chunk);
    });
    if (!b.v_world_to_camera) return;
    double total[kCameraSums] = {};
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int k = 0; k < kCameraSums; ++k) total[k] += double(partial[kCameraSums * chunk + k]);
    // The centre is -R^T t, so its gradient v_o adds -R v_o to t and -t v_o^T to R.
    const Real *w = a.world_to_camera, translation[3] = {w[3], w[7], w[11]};
    for (int r = 0; r < 3; ++r) {
        double v_t = total[9 + r];
        for (int c = 0; c < 3; ++c) {
            b.v_world_to_camera[4 * r + c] = Real(total[3 * r + c] - double(translation[r]) * total[12 + c]);
            v_t -= double(w[4 * r + c]) * total[12 + c];
        }
        b.v_world_to_camera[4 * r + 3] = Real(v_t);
    }
    for (int c = 0; c < 4; ++c) b.v_world_to_camera[12 + c] = 0;
}

}  // namespace RECON_ISA
}  // namespace recon
