// Triangles: alpha = opacity (u / r)^sigma inside, u the distance to the nearest edge on the image, r the inradius. sigma -> 0
// is a solid triangle. Source: Held et al. 2025 (Triangle Splatting), whose gradient leaves out that of r.
#pragma once

#include "recon/footprint.h"

namespace recon {
inline namespace RECON_ISA {

struct TriangleFamily {
    static constexpr const char* kName = "triangle";
    static constexpr int kParameters = 3;  // vertices (3 x 3), log_sigmas, opacity_logits
    static constexpr RECON_HD int width(int k) { return k == 0 ? 9 : 1; }
    static constexpr int kValues = 11;
    // x, y (incentre), depth (mean of the vertices), log2 opacity - sigma log2 r, three outward unit normals (x, y), r,
    // sigma, smallest u with alpha >= kMinAlpha, 0, 0
    static constexpr int kRecord = 16;
    static constexpr int kMoments = 11;  // of slope: 1, ln u; of slope / u per nearest edge: 1, dx, dy
    static constexpr bool kPixelDepth = false;
    static constexpr bool kDear = true;
    static constexpr double kThreshold = 0;
    static constexpr double kMinSigma = 0.01;   // sigma = kMinSigma + exp(log_sigma)
    static constexpr double kMinInradius = 0.05;  // px: smaller ones hardly meet a pixel's centre
    static constexpr double kMinU = 1e-20;

    template <class T>
    struct Sample {
        T key, dx, dy, u, log2_u;
        Mask<T> first, second, third;  // which edge is nearest
    };

    template <class T, class S>
    struct Shape {
        const Camera<S>& camera;
        Vec3<T> world[3], p[3];
        T inv_z[3], x[3], y[3];               // px
        T ex[3], ey[3], length[3];            // unit tangents of edges k -> k + 1, px
        T perimeter, orientation, r, cx, cy;  // inradius and incentre
        T sigma, sigma_slope, opacity;

        RECON_HD Shape(const T* values, const Camera<S>& c) : camera(c) {
            const T one = constant<T>(1);
            for (int k = 0; k < 3; ++k) {
                world[k] = {values[3 * k], values[3 * k + 1], values[3 * k + 2]};
                p[k] = to_camera(camera, world[k]);
                inv_z[k] = one / p[k].z;
                x[k] = camera.fx * p[k].x * inv_z[k] + T(camera.cx);
                y[k] = camera.fy * p[k].y * inv_z[k] + T(camera.cy);
            }
            for (int k = 0; k < 3; ++k) {
                const int next = (k + 1) % 3;
                const T dx = x[next] - x[k], dy = y[next] - y[k];
                length[k] = sqrt(max(dx * dx + dy * dy, constant<T>(1e-20)));
                const T inv_length = one / length[k];
                ex[k] = dx * inv_length, ey[k] = dy * inv_length;
            }
            perimeter = length[0] + length[1] + length[2];
            const T area2 = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
            orientation = select(area2 > constant<T>(0), one, -one);
            const T inv_perimeter = one / perimeter;
            r = abs(area2) * inv_perimeter;
            // The incentre weighs each vertex by the edge across from it.
            cx = (length[1] * x[0] + length[2] * x[1] + length[0] * x[2]) * inv_perimeter;
            cy = (length[1] * y[0] + length[2] * y[1] + length[0] * y[2]) * inv_perimeter;
            sigma_slope = exp(values[9]);
            sigma = constant<T>(kMinSigma) + sigma_slope;
            opacity = sigmoid(values[10]);
        }
        // Outward unit normal of edge k.
        RECON_HD T nx(int k) const { return orientation * ey[k]; }
        RECON_HD T ny(int k) const { return -(orientation * ex[k]); }

        // Twice the area times the face's unit normal, and the sign that turns it towards the camera.
        RECON_HD Vec3<T> face() const { return cross(world[1] - world[0], world[2] - world[0]); }
        RECON_HD T facing(const Vec3<T>& n) const {
            const Vec3<T> sight = {world[0].x - camera.center.x, world[0].y - camera.center.y, world[0].z - camera.center.z};
            return select(dot(n, sight) > constant<T>(0), constant<T>(-1), constant<T>(1));
        }
    };

    template <class T>
    static RECON_HD T inverse_length(const Vec3<T>& n) {
        return constant<T>(1) / sqrt(max(dot(n, n), constant<T>(1e-36)));
    }

    template <class T, class S>
    static RECON_HD void project(const T* values, int, const Camera<S>& camera, Footprint<T, kRecord>& f) {
        const Shape<T, S> s(values, camera);
        const T zero = constant<T>(0), third = constant<T>(1.0 / 3);
        const T lo = log2_opacity(s.opacity), depth = third * (s.p[0].z + s.p[1].z + s.p[2].z);
        const T budget = lo - constant<T>(kLog2MinAlpha);
        // alpha >= kMinAlpha is the triangle shrunk towards its incentre.
        const T share = exp(-(constant<T>(kLn2) * max(budget, zero) / s.sigma)), shrink = constant<T>(1) - share;
        const T record[kRecord] = {s.cx, s.cy, depth, lo - s.sigma * log2(max(s.r, constant<T>(1e-20))), s.nx(0), s.ny(0), s.nx(1), s.ny(1),
                                   s.nx(2), s.ny(2), s.r, s.sigma, max(s.r * share, constant<T>(kMinU)), zero, zero, zero};
        for (int k = 0; k < kRecord; ++k) f.record[k] = record[k];
        f.left = s.cx + shrink * (min(s.x[0], min(s.x[1], s.x[2])) - s.cx);
        f.right = s.cx + shrink * (max(s.x[0], max(s.x[1], s.x[2])) - s.cx);
        f.top = s.cy + shrink * (min(s.y[0], min(s.y[1], s.y[2])) - s.cy);
        f.bottom = s.cy + shrink * (max(s.y[0], max(s.y[1], s.y[2])) - s.cy);
        const Vec3<T> n = s.face();
        f.normal = (s.facing(n) * inverse_length(n)) * n;
        const T nearest = min(s.p[0].z, min(s.p[1].z, s.p[2].z));
        const T size = abs(s.x[0]) + abs(s.x[1]) + abs(s.x[2]) + abs(s.y[0]) + abs(s.y[1]) + abs(s.y[2]);
        const T parameters = s.sigma + s.opacity + nearest;
        f.visible = (parameters <= parameters) & (values[9] <= values[9]) & (values[10] <= values[10]) &
                    (nearest > T(camera.near_plane)) & (depth < T(camera.far_plane)) &
                    (s.r > constant<T>(kMinInradius)) & (budget > zero) & (size < constant<T>(kFarthest)) & (shrink > zero);
    }

    template <class T, class S>
    static RECON_HD void project_vjp(const T* values, int, const Camera<S>& camera, const FootprintGradient<T, kMoments>& v,
                                     T* v_values, CameraGradient<T>& v_camera, T* shift) {
        const Shape<T, S> s(values, camera);
        const T *m = v.moments, zero = constant<T>(0), one = constant<T>(1);
        const T safe_r = max(s.r, constant<T>(1e-20)), inv_r = one / safe_r;
        v_values[10] = m[0] * (one - s.opacity);
        // ln alpha = ln o + sigma ln(u / r)
        v_values[9] = (m[1] - m[0] * constant<T>(kLn2) * log2(safe_r)) * s.sigma_slope;
        T v_x[3] = {zero, zero, zero}, v_y[3] = {zero, zero, zero};
        for (int k = 0; k < 3; ++k) {
            const int next = (k + 1) % 3;
            // Moving an end of edge k outwards moves a pixel's foot point at parameter t by 1 - t or t of that.
            const T inv_length = one / s.length[k];
            const T start = s.ex[k] * (s.x[k] - s.cx) + s.ey[k] * (s.y[k] - s.cy);
            const T all = s.sigma * m[2 + 3 * k], along = s.sigma * (s.ex[k] * m[3 + 3 * k] + s.ey[k] * m[4 + 3 * k]);
            const T at_next = (along - start * all) * inv_length, here = all - at_next;
            const T nx = s.nx(k), ny = s.ny(k);
            v_x[k] = v_x[k] + here * nx, v_y[k] = v_y[k] + here * ny;
            v_x[next] = v_x[next] + at_next * nx, v_y[next] = v_y[next] + at_next * ny;
        }
        // Moving everything moves u but not r.
        shift[0] = v_x[0] + v_x[1] + v_x[2];
        shift[1] = v_y[0] + v_y[1] + v_y[2];
        // r = 2 A / P, d(2 A) / d vertex k = +-(y[k+1] - y[k+2], x[k+2] - x[k+1]).
        const T v_r = -(s.sigma * m[0] * inv_r), inv_perimeter = one / s.perimeter;
        const T v_area2 = v_r * inv_perimeter * s.orientation, v_perimeter = -(v_r * s.r * inv_perimeter);
        for (int k = 0; k < 3; ++k) {
            const int next = (k + 1) % 3, last = (k + 2) % 3;
            v_x[k] = v_x[k] + v_area2 * (s.y[next] - s.y[last]) + v_perimeter * (s.ex[last] - s.ex[k]);
            v_y[k] = v_y[k] + v_area2 * (s.x[last] - s.x[next]) + v_perimeter * (s.ey[last] - s.ey[k]);
        }
        const T v_depth = constant<T>(1.0 / 3) * v.depth;
        // n / |n|: the part of the gradient across the normal, then the cross product's.
        const Vec3<T> face = s.face();
        const T inv_face = inverse_length(face), sign = s.facing(face) * inv_face;
        const Vec3<T> unit = inv_face * face;
        const Vec3<T> v_face = sign * (v.normal - dot(v.normal, unit) * unit);
        const Vec3<T> v_b = cross(v_face, s.world[1] - s.world[0]), v_a = cross(s.world[2] - s.world[0], v_face);
        const Vec3<T> v_world[3] = {-one * (v_a + v_b), v_a, v_b};
        for (int k = 0; k < 3; ++k) {
            const T along_x = camera.fx * v_x[k] * s.inv_z[k], along_y = camera.fy * v_y[k] * s.inv_z[k];
            const Vec3<T> v_p = {along_x, along_y, v_depth - s.inv_z[k] * (along_x * s.p[k].x + along_y * s.p[k].y)};
            const Vec3<T> v_vertex = to_camera_vjp(camera, s.world[k], v_p, v_camera) + v_world[k];
            v_values[3 * k] = v_vertex.x, v_values[3 * k + 1] = v_vertex.y, v_values[3 * k + 2] = v_vertex.z;
        }
    }

    template <class T>
    static RECON_HD Vec3<T> center(const T* v, int) {
        const T third = constant<T>(1.0 / 3);
        return {third * (v[0] + v[3] + v[6]), third * (v[1] + v[4] + v[7]), third * (v[2] + v[5] + v[8])};
    }
    template <class T>
    static RECON_HD void center_vjp(const Vec3<T>& v, int, T* v_values) {
        const T g[3] = {constant<T>(1.0 / 3) * v.x, constant<T>(1.0 / 3) * v.y, constant<T>(1.0 / 3) * v.z};
        for (int k = 0; k < 9; ++k) v_values[k] = v_values[k] + g[k % 3];
    }

    // Two convex shapes are apart if an edge of one separates them; the box's own edges are the driver's bounding box.
    template <class R, class T>
    static RECON_HD Mask<T> may_reach(const R* g, const T& x0, const T& x1, const T& y0, const T& y1) {
        const T left = x0 - T(g[0]), right = x1 - T(g[0]), top = y0 - T(g[1]), bottom = y1 - T(g[1]);
        T farthest = T(R(-1e30));
        for (int k = 0; k < 3; ++k) {
            const R nx = g[4 + 2 * k], ny = g[5 + 2 * k];
            farthest = max(farthest, min(nx * left, nx * right) + min(ny * top, ny * bottom));
        }
        return farthest <= T((g[10] - g[12]) * R(1.00001) + R(1e-3));  // slack for rounding
    }

    template <class R, class T>
    static RECON_HD Sample<T> evaluate(const R* g, const T& px, const T& py) {
        Sample<T> s;
        s.dx = px - T(g[0]);
        s.dy = py - T(g[1]);
        const T a = T(g[4]) * s.dx + T(g[5]) * s.dy, b = T(g[6]) * s.dx + T(g[7]) * s.dy, c = T(g[8]) * s.dx + T(g[9]) * s.dy;
        const T nearest = max(a, max(b, c));
        s.first = a >= nearest;
        s.second = (b >= nearest) & (a < nearest);
        s.third = (a < nearest) & (b < nearest);
        s.u = T(g[10]) - nearest;
        s.key = s.u - T(g[12]);
        return s;
    }

    template <class R, class T>
    static RECON_HD T alpha(const R* g, Sample<T>& s) {
        s.u = max(s.u, T(g[12]));  // pixels outside are not used, but must stay finite
        s.log2_u = log2(s.u);
        return exp2_unchecked(T(g[3]) + T(g[11]) * s.log2_u);
    }

    template <class R, class T>
    static RECON_HD void accumulate(const R*, const Sample<T>& s, const T& slope, T* sums) {
        sums[0] = sums[0] + slope;
        sums[1] = sums[1] + slope * (T(R(kLn2)) * s.log2_u);
        const T steep = slope * reciprocal(s.u), along_x = steep * s.dx, along_y = steep * s.dy;
        add_where(s.first, steep, along_x, along_y, sums + 2);
        add_where(s.second, steep, along_x, along_y, sums + 5);
        add_where(s.third, steep, along_x, along_y, sums + 8);
    }

    template <class T>
    static RECON_HD void add_where(const Mask<T>& mask, const T& a, const T& b, const T& c, T* sums) {
        sums[0] = select(mask, sums[0] + a, sums[0]);
        sums[1] = select(mask, sums[1] + b, sums[1]);
        sums[2] = select(mask, sums[2] + c, sums[2]);
    }

    template <class R, class T>
    static RECON_HD void shift(const R* g, const Sample<T>& s, T& x, T& y) {
        const T steep = T(g[11]) * reciprocal(s.u);
        x = steep * select(s.first, T(g[4]), select(s.second, T(g[6]), T(g[8])));
        y = steep * select(s.first, T(g[5]), select(s.second, T(g[7]), T(g[9])));
    }
};

}  // namespace RECON_ISA
}  // namespace recon
