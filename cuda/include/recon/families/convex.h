// 3D smooth convexes: alpha = opacity sigmoid(-z sigma phi), phi = log sum_k exp(z delta L_k) over the edges of the image's
// convex hull, L_k negative inside. Source: Held et al. 2025 (3DCS).
//
// Two differences from its code. L_k, an area, is measured in px^2 of a camera whose focal length is kFocal, so that a scene
// looks the same at any resolution (the published constants are for about that focal length). And the gradient is exact:
// through z, and with the factors from points to pixels that the reference leaves out.
#pragma once

#include "recon/footprint.h"

namespace recon {
inline namespace RECON_ISA {

// Up to MaxPoints points; edge k starts at point k, and is empty when that point is inside the hull.
template <int MaxPoints>
struct ConvexFamily {
    static constexpr const char* kName = MaxPoints <= 6 ? "convex6" : "convex8";
    static constexpr int kParameters = 4;  // points (3 each), log_deltas, log_sigmas, opacity_logits
    static constexpr RECON_HD int width(int k) { return k == 0 ? 3 * MaxPoints : 1; }
    static constexpr int kValues = 3 * MaxPoints + 3;
    static constexpr int kDelta = 3 * MaxPoints, kSigma = kDelta + 1, kOpacity = kDelta + 2;
    // x, y (image of the mean point), depth, opacity, z sigma, largest log2 S with alpha >= kMinAlpha, 0, 0, then a, b, c per
    // edge: log2 S = log2 sum_k 2^(a dx + b dy + c), alpha = opacity / (1 + S^(z sigma))
    static constexpr int kEdges = 8;
    static constexpr int kRecord = kEdges + 3 * MaxPoints + (MaxPoints == 6 ? 2 : 0);
    // of slope: 1; of g = slope (1 - I): log2 S; of g times the edge's share of S, per edge: 1, dx, dy
    static constexpr int kMoments = 2 + 3 * MaxPoints;
    static constexpr bool kPixelDepth = false;
    static constexpr bool kDear = true;
    static constexpr double kThreshold = 0;
    static constexpr double kFocal = 1000;       // px
    static constexpr double kNoEdge = -1e30;     // c of an empty edge: its share of S is 0
    static constexpr double kMinArea = 1e-4;     // px^2 of the hull
    template <class T>  // log2 of shares of S that are lost in the rounding of its logarithm
    static constexpr double kNegligible = sizeof(Scalar<T>) == 4 ? -18 : -60;

    template <class T>
    struct Sample {
        T key, dx, dy, log2_s, complement;  // complement = 1 - I
        T term[MaxPoints], inverse;         // of S, up to a common factor, and one over their sum
    };

    template <class T, class S>
    struct Hull {
        const Camera<S>& camera;
        int count;
        Vec3<T> world[MaxPoints], p[MaxPoints];
        T inv_z[MaxPoints], x[MaxPoints], y[MaxPoints];  // px, from the image of the mean point
        T next[MaxPoints];                               // index of the point that edge k leads to, -1 without an edge
        T ex[MaxPoints], ey[MaxPoints];                  // edges, 0 without
        Vec3<T> mean, q;                                 // world, camera frame
        T cx, cy, delta, sigma, scale, opacity, area2;   // scale: log2(e) z delta times the change of focal length

        RECON_HD Hull(const T* values, int points, const Camera<S>& c) : camera(c), count(points) {
            const T zero = constant<T>(0), one = constant<T>(1);
            mean = center(values, points);
            q = to_camera(camera, mean);
            cx = camera.fx * q.x / q.z, cy = camera.fy * q.y / q.z;
            for (int k = 0; k < count; ++k) {
                world[k] = {values[3 * k], values[3 * k + 1], values[3 * k + 2]};
                p[k] = to_camera(camera, world[k]);
                inv_z[k] = one / p[k].z;
                x[k] = camera.fx * p[k].x * inv_z[k] - cx;
                y[k] = camera.fy * p[k].y * inv_z[k] - cy;
            }
            delta = exp(values[kDelta]), sigma = exp(values[kSigma]), opacity = sigmoid(values[kOpacity]);
            scale = constant<T>(kLog2E * kFocal * kFocal) / T(camera.fx * camera.fy) * q.z * delta;
            area2 = zero;
            for (int i = 0; i < count; ++i) find_edge(i);
        }

        // Gift wrapping without branches: the neighbour such that no point lies outside of the edge to it, if there is one.
        RECON_HD void find_edge(int i) {
            const T zero = constant<T>(0), one = constant<T>(1);
            T to = -one, dx = zero, dy = zero;
            for (int k = 0; k < count; ++k) {
                if (k == i) continue;
                const T kx = x[k] - x[i], ky = y[k] - y[i];
                const T side = dx * ky - dy * kx;
                const T longer = (kx * kx + ky * ky) - (dx * dx + dy * dy);
                // The first candidate; one further outside; on the same line the farther one.
                const Mask<T> take = ((side > zero) | ((side >= zero) & (longer > zero))) & (longer + dx * dx + dy * dy > zero);
                to = select(take, constant<T>(k), to);
                dx = select(take, kx, dx);
                dy = select(take, ky, dy);
            }
            // A corner of the hull has every point on the inner side, and none in the same place before it.
            Mask<T> corner = to >= zero;
            for (int k = 0; k < count; ++k) {
                if (k == i) continue;
                const T kx = x[k] - x[i], ky = y[k] - y[i], side = dx * ky - dy * kx, along = dx * kx + dy * ky;
                // The neighbour itself is on the line, whatever rounding (of a fused multiply) says.
                const Mask<T> neighbour = (to >= constant<T>(k)) & (to <= constant<T>(k));
                const Mask<T> inner = (side < zero) | ((side <= zero) & (k < i ? along > zero : along >= zero));
                corner = corner & (inner | neighbour);
            }
            next[i] = select(corner, to, -one);
            ex[i] = select(corner, dx, zero);
            ey[i] = select(corner, dy, zero);
            area2 = area2 + select(corner, abs(ex[i] * y[i] - ey[i] * x[i]), zero);
        }
        RECON_HD Mask<T> has_edge(int i) const { return next[i] >= constant<T>(0); }
    };

    template <class T, class S>
    static RECON_HD void project(const T* values, int points, const Camera<S>& camera, Footprint<T, kRecord>& f) {
        const Hull<T, S> h(values, points, camera);
        const T zero = constant<T>(0), one = constant<T>(1), large = constant<T>(kEverywhere);
        for (int k = 0; k < kRecord; ++k) f.record[k] = zero;
        const T x = h.cx + T(camera.cx), y = h.cy + T(camera.cy), z_sigma = h.q.z * h.sigma;
        const T odds = h.opacity * constant<T>(1 / kMinAlpha) - one;
        const T limit = log2(max(odds, constant<T>(1e-30))) / z_sigma;
        const T first[6] = {x, y, h.q.z, h.opacity, z_sigma, limit};
        for (int k = 0; k < 6; ++k) f.record[k] = first[k];

        // All edges pushed out until L_k = reach hold the footprint. Two boxes hold that: around the crossings of
        // neighbouring pushed edges, and around the hull scaled up about the mean point; each can be large where the other is not.
        const T reach = limit / h.scale;
        T left = zero, right = zero, top = zero, bottom = zero, nearest = large;
        T crossing_left = large, crossing_right = -large, crossing_top = large, crossing_bottom = -large, low = large;
        for (int i = 0; i < MaxPoints; ++i) {
            T a = zero, b = zero, c = constant<T>(kNoEdge);
            if (i < h.count) {
                const Mask<T> edge = h.has_edge(i);
                const T depth_under = h.ex[i] * h.y[i] - h.ey[i] * h.x[i];  // -L of the mean point, > 0 inside
                a = -(h.scale * h.ey[i]), b = h.scale * h.ex[i];
                c = select(edge, -(h.scale * depth_under), c);
                nearest = select(edge, min(nearest, depth_under), nearest);
                left = min(left, h.x[i]), right = max(right, h.x[i]);
                top = min(top, h.y[i]), bottom = max(bottom, h.y[i]);
                low = min(low, h.p[i].z);
                // The crossing at the end of edge i: p + reach (e_out - e_in) / (e_in x e_out), to the outside.
                T out_x = zero, out_y = zero, end_x = zero, end_y = zero;
                for (int k = 0; k < h.count; ++k) {
                    const Mask<T> here = (h.next[i] >= constant<T>(k)) & (h.next[i] <= constant<T>(k));
                    out_x = select(here, h.ex[k], out_x), out_y = select(here, h.ey[k], out_y);
                    end_x = select(here, h.x[k], end_x), end_y = select(here, h.y[k], end_y);
                }
                const T turn = h.ex[i] * out_y - h.ey[i] * out_x;
                const Mask<T> sharp = abs(turn) > constant<T>(1e-12);
                const T push = max(reach, zero) / select(sharp, turn, one);
                const T corner_x = end_x + push * (out_x - h.ex[i]), corner_y = end_y + push * (out_y - h.ey[i]);
                crossing_left = select(edge, min(crossing_left, select(sharp, corner_x, -large)), crossing_left);
                crossing_right = select(edge, max(crossing_right, select(sharp, corner_x, large)), crossing_right);
                crossing_top = select(edge, min(crossing_top, select(sharp, corner_y, -large)), crossing_top);
                crossing_bottom = select(edge, max(crossing_bottom, select(sharp, corner_y, large)), crossing_bottom);
            }
            f.record[kEdges + 3 * i] = a, f.record[kEdges + 3 * i + 1] = b, f.record[kEdges + 3 * i + 2] = c;
        }
        const Mask<T> around = nearest > constant<T>(1e-12);
        const T grow = select(around, one + max(reach, zero) / select(around, nearest, one), large);
        f.left = x + max(crossing_left, grow * left), f.right = x + min(crossing_right, grow * right);
        f.top = y + max(crossing_top, grow * top), f.bottom = y + min(crossing_bottom, grow * bottom);
        // A hull has no face of its own: its normal points back along the sight, and carries no gradient.
        const Vec3<T> sight = {camera.center.x - h.mean.x, camera.center.y - h.mean.y, camera.center.z - h.mean.z};
        f.normal = (one / sqrt(max(dot(sight, sight), constant<T>(1e-30)))) * sight;
        const T size = abs(x) + abs(y) + (right - left) + (bottom - top), parameters = h.delta + h.sigma + h.opacity;
        f.visible = (parameters <= parameters) & (values[kOpacity] <= values[kOpacity]) & (low > T(camera.near_plane)) &
                    (h.q.z < T(camera.far_plane)) & (odds > zero) & (h.area2 > constant<T>(kMinArea)) &
                    (size < constant<T>(kFarthest)) & (h.scale < constant<T>(1e18)) & (z_sigma > constant<T>(1e-20)) &
                    (h.scale > constant<T>(1e-20)) & (z_sigma < constant<T>(1e18));
    }

    template <class T, class S>
    static RECON_HD void project_vjp(const T* values, int points, const Camera<S>& camera,
                                     const FootprintGradient<T, kMoments>& v, T* v_values, CameraGradient<T>& v_camera, T* shift) {
        const Hull<T, S> h(values, points, camera);
        const T *m = v.moments, zero = constant<T>(0), one = constant<T>(1);
        const T z_sigma = h.q.z * h.sigma;
        // d ln alpha = d ln o - ln 2 (1 - I) d(z sigma log2 S), d log2 S = sum of share x d(a dx + b dy + c)
        const T v_z_sigma = -(constant<T>(kLn2) * m[1]), each = -(constant<T>(kLn2) * z_sigma);
        T v_x[MaxPoints], v_y[MaxPoints], v_scale = zero;
        for (int k = 0; k < h.count; ++k) v_x[k] = v_y[k] = zero;
        for (int i = 0; i < h.count; ++i) {
            const Mask<T> edge = h.has_edge(i);
            // L = ex (dy - y_i) - ey (dx - x_i), summed over pixels with the gradient of its share.
            const T m0 = select(edge, each * m[2 + 3 * i], zero), mx = select(edge, each * m[3 + 3 * i], zero);
            const T my = select(edge, each * m[4 + 3 * i], zero);
            const T across_x = mx - h.x[i] * m0, across_y = my - h.y[i] * m0;
            v_scale = v_scale + h.ex[i] * across_y - h.ey[i] * across_x;
            const T v_ex = h.scale * across_y, v_ey = -(h.scale * across_x);
            v_x[i] = v_x[i] - v_ex + h.scale * h.ey[i] * m0;
            v_y[i] = v_y[i] - v_ey - h.scale * h.ex[i] * m0;
            for (int k = 0; k < h.count; ++k) {
                const Mask<T> here = edge & (h.next[i] >= constant<T>(k)) & (h.next[i] <= constant<T>(k));
                v_x[k] = v_x[k] + select(here, v_ex, zero);
                v_y[k] = v_y[k] + select(here, v_ey, zero);
            }
        }
        for (int k = 0; k < kValues; ++k) v_values[k] = zero;
        v_values[kDelta] = v_scale * h.scale;
        v_values[kSigma] = v_z_sigma * z_sigma;
        v_values[kOpacity] = m[0] * (one - h.opacity);
        shift[0] = shift[1] = zero;
        for (int k = 0; k < h.count; ++k) {
            shift[0] = shift[0] + v_x[k], shift[1] = shift[1] + v_y[k];
            const T along_x = camera.fx * v_x[k] * h.inv_z[k], along_y = camera.fy * v_y[k] * h.inv_z[k];
            const Vec3<T> v_p = {along_x, along_y, -(h.inv_z[k] * (along_x * h.p[k].x + along_y * h.p[k].y))};
            const Vec3<T> v_point = to_camera_vjp(camera, h.world[k], v_p, v_camera);
            v_values[3 * k] = v_point.x, v_values[3 * k + 1] = v_point.y, v_values[3 * k + 2] = v_point.z;
        }
        // The depth of the mean point: in both exponents, and as an output. The normal: minus the sight, normalised.
        const T v_z = v.depth + v_scale * h.scale / h.q.z + v_z_sigma * h.sigma;
        const Vec3<T> v_mean = to_camera_vjp(camera, h.mean, Vec3<T>{zero, zero, v_z}, v_camera);
        center_vjp(v_mean, points, v_values);
    }

    template <class T>
    static RECON_HD Vec3<T> center(const T* values, int points) {
        Vec3<T> sum = {values[0], values[1], values[2]};
        for (int k = 1; k < points; ++k) sum = sum + Vec3<T>{values[3 * k], values[3 * k + 1], values[3 * k + 2]};
        return constant<T>(1.0 / points) * sum;
    }
    template <class T>
    static RECON_HD void center_vjp(const Vec3<T>& v, int points, T* v_values) {
        const T share = constant<T>(1.0 / points);
        for (int k = 0; k < points; ++k) {
            v_values[3 * k] = v_values[3 * k] + share * v.x;
            v_values[3 * k + 1] = v_values[3 * k + 1] + share * v.y;
            v_values[3 * k + 2] = v_values[3 * k + 2] + share * v.z;
        }
    }

    template <class R, class T>
    static RECON_HD Mask<T> may_reach(const R* g, const T& x0, const T& x1, const T& y0, const T& y1) {
        const T left = x0 - T(g[0]), right = x1 - T(g[0]), top = y0 - T(g[1]), bottom = y1 - T(g[1]);
        T lowest = T(R(kNoEdge));
        for (int k = 0; k < MaxPoints; ++k) {
            const R a = g[kEdges + 3 * k], b = g[kEdges + 3 * k + 1];
            lowest = max(lowest, min(a * left, a * right) + min(b * top, b * bottom) + T(g[kEdges + 3 * k + 2]));
        }
        return lowest <= T(g[5] + R(1e-2) + (g[5] > R(0) ? g[5] : -g[5]) * R(1e-4));  // slack for rounding
    }

    template <class R, class T>
    static RECON_HD Sample<T> evaluate(const R* g, const T& px, const T& py) {
        Sample<T> s;
        s.dx = px - T(g[0]);
        s.dy = py - T(g[1]);
        T level[MaxPoints], top = T(R(kNoEdge));
        for (int k = 0; k < MaxPoints; ++k) {
            level[k] = T(g[kEdges + 3 * k]) * s.dx + (T(g[kEdges + 3 * k + 1]) * s.dy + T(g[kEdges + 3 * k + 2]));
            top = max(top, level[k]);
        }
        s.key = T(g[5]) - top;
        if (!any(s.key >= T(R(0)))) return s;  // log2 S is at least its largest term
        T sum = T(R(0));
        for (int k = 0; k < MaxPoints; ++k) {
            const T below = level[k] - top;
            s.term[k] = T(R(0));
            const Mask<T> counts = below > constant<T>(kNegligible<T>);
            if (any(counts)) s.term[k] = select(counts, exp2_unchecked(max(below, T(R(-100)))), T(R(0)));
            sum = sum + s.term[k];
        }
        s.log2_s = top + log2(sum);
        s.key = T(g[5]) - s.log2_s;
        s.inverse = reciprocal(sum);
        return s;
    }

    template <class R, class T>
    static RECON_HD T alpha(const R* g, Sample<T>& s) {
        const T power = exp2_unchecked(clamp(T(g[4]) * s.log2_s, T(R(-100)), T(R(100))));
        const T inside = reciprocal(T(R(1)) + power);
        s.complement = power * inside;
        return T(g[3]) * inside;
    }

    template <class R, class T>
    static RECON_HD void accumulate(const R*, const Sample<T>& s, const T& slope, T* sums) {
        const T g = slope * s.complement;
        sums[0] = sums[0] + slope;
        sums[1] = sums[1] + g * s.log2_s;
        const T each = g * s.inverse;
        for (int k = 0; k < MaxPoints; ++k) {
            const T part = each * s.term[k];
            sums[2 + 3 * k] = sums[2 + 3 * k] + part;
            sums[3 + 3 * k] = sums[3 + 3 * k] + part * s.dx;
            sums[4 + 3 * k] = sums[4 + 3 * k] + part * s.dy;
        }
    }

    template <class R, class T>
    static RECON_HD void shift(const R* g, const Sample<T>& s, T& x, T& y) {
        T a = T(R(0)), b = a;
        for (int k = 0; k < MaxPoints; ++k) {
            a = a + s.term[k] * T(g[kEdges + 3 * k]);
            b = b + s.term[k] * T(g[kEdges + 3 * k + 1]);
        }
        const T steep = T(R(kLn2) * g[4]) * s.complement * s.inverse;
        x = steep * a, y = steep * b;
    }
};

}  // namespace RECON_ISA
}  // namespace recon
