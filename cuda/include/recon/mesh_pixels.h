// What the mesh rasteriser's two drivers do with a triangle and a pixel, and with two neighbouring pixels.
#pragma once

#include "recon/mesh_args.h"
#include "recon/mesh_triangle.h"

namespace recon {

RECON_HD bool is_finite(double x) { return x - x == 0; }

struct PixelBox {
    int x0, x1, y0, y1;  // pixels, ends excluded
    RECON_HD bool empty() const { return x0 >= x1 || y0 >= y1; }
};

// The pixels whose centres the part of the triangle beyond the near plane may cover.
template <class Real>
RECON_HD PixelBox triangle_bounds(const MeshView<Real>& view, int64_t face) {
    const int32_t* f = view.index + 3 * face;
    double low[2] = {1e30, 1e30}, high[2] = {-1e30, -1e30};
    const double near = view.near > 1e-12 ? double(view.near) : 1e-12;
    const auto take = [&](double x, double y) {
        low[0] = x < low[0] ? x : low[0], high[0] = x > high[0] ? x : high[0];
        low[1] = y < low[1] ? y : low[1], high[1] = y > high[1] ? y : high[1];
    };
    for (int i = 0; i < 3; ++i) {
        const Real *a = view.q + 3 * int64_t(f[i]), *b = view.q + 3 * int64_t(f[i == 2 ? 0 : i + 1]);
        if (!(is_finite(a[0]) && is_finite(a[1]) && is_finite(a[2]))) return {0, 0, 0, 0};
        if (a[2] >= near) take(a[0] / double(a[2]), a[1] / double(a[2]));
        if ((a[2] >= near) == (b[2] >= near)) continue;
        const double t = (near - a[2]) / (double(b[2]) - a[2]);
        take((a[0] + t * (double(b[0]) - a[0])) / near, (a[1] + t * (double(b[1]) - a[1])) / near);
    }
    // A hundredth of a pixel of slack: the exact test is the edge functions'.
    const auto clamp = [](double v, int size) { return int(v > 0 ? (v < size ? v : double(size)) : 0.0); };
    return {clamp(std::ceil(low[0] - 0.51), view.width), clamp(std::floor(high[0] - 0.49) + 1, view.width),
            clamp(std::ceil(low[1] - 0.51), view.height), clamp(std::floor(high[1] - 0.49) + 1, view.height)};
}

// Edge function of a triangle's side, computed from the lower-numbered vertex so that both its faces get the same bits.
template <class Real>
RECON_HD void triangle_side(const MeshView<Real>& view, int32_t from, int32_t to, double* out) {
    const Real *a = view.q + 3 * int64_t(from < to ? from : to), *b = view.q + 3 * int64_t(from < to ? to : from);
    const double p[3] = {a[0], a[1], a[2]}, r[3] = {b[0], b[1], b[2]};
    cross3(p, r, out);
    if (from > to)
        for (int d = 0; d < 3; ++d) out[d] = -out[d];
}

// A triangle ready to be asked about pixels.
struct DrawnTriangle {
    double edge[3][3], sign, size;  // signs are turned where it is seen from behind

    template <class Real>
    RECON_HD DrawnTriangle(const MeshView<Real>& view, int64_t face) {
        const int32_t* f = view.index + 3 * face;
        for (int i = 0; i < 3; ++i) triangle_side(view, f[i == 2 ? 0 : i + 1], f[i == 0 ? 2 : i - 1], edge[i]);
        const Real* q0 = view.q + 3 * int64_t(f[0]);
        const double origin[3] = {q0[0], q0[1], q0[2]};
        const double volume = dot3(origin, edge[0]);
        sign = volume < 0 ? -1 : 1;
        size = sign * volume;
    }

    RECON_HD bool flat() const { return size == 0 || !is_finite(size); }

    // Whether it covers the centre of pixel (x, y) beyond the near plane, at which depth, and the barycentrics times `sum`.
    // In double from the pixel's own place: the same bits from both sides of an edge.
    template <class Real>
    RECON_HD bool covers(int x, int y, Real near, Real& z, double a[3], double& sum) const {
        const double px = x + 0.5, py = y + 0.5;
        for (int i = 0; i < 3; ++i) a[i] = sign * (edge[i][1] * py + edge[i][2]) + sign * edge[i][0] * px;
        if (!(a[0] >= 0 && a[1] >= 0 && a[2] >= 0)) return false;
        sum = a[0] + a[1] + a[2];
        z = Real(size / sum);
        return z >= near && is_finite(z);
    }
};

// Whether the edge counts between neighbours along this axis, steep ones along rows and flat ones along columns so that none
// counts twice, and is a silhouette: the face across it lies on the same side of it as `third`, as seen by the camera.
template <class Real>
RECON_HD bool edge_folds(const MeshView<Real>& view, int along, int32_t a, int32_t b, int32_t third, int32_t opposite) {
    double line[3];
    triangle_side(view, a, b, line);
    if ((::fabs(line[0]) >= ::fabs(line[1])) != (along == 0)) return false;
    if (opposite < 0) return true;
    const Real *p = view.q + 3 * int64_t(third), *r = view.q + 3 * int64_t(opposite);
    const double inside = line[0] * p[0] + line[1] * p[1] + line[2] * p[2], outside = line[0] * r[0] + line[1] * r[1] + line[2] * r[2];
    // A vertex behind the camera projects to the other side.
    return (inside * (p[2] < 0 ? -1 : 1) > 0) == (outside * (r[2] < 0 ? -1 : 1) > 0);
}

// The silhouette between pixel (x, y) and its right (along 0) or lower (along 1) neighbour, if there is one.
template <class Real>
RECON_HD bool silhouette_between(const AntialiasArgs<Real>& args, int x, int y, int along, Silhouette& found) {
    const MeshView<Real>& view = args.view;
    if (along == 0 ? x + 1 >= view.width : y + 1 >= view.height) return false;
    const int64_t first = int64_t(y) * view.width + x, second = first + (along == 0 ? 1 : view.width);
    if (args.face_ids[first] == args.face_ids[second]) return false;
    const bool first_near = args.face_ids[second] < 0 || (args.face_ids[first] >= 0 && args.depth[first] <= args.depth[second]);
    const int64_t near = first_near ? first : second, far = first_near ? second : first;
    const int32_t face = args.face_ids[near];
    const int32_t* f = view.index + 3 * int64_t(face);
    const Real start = Real(along == 0 ? x : y) + Real(0.5), across = Real(along == 0 ? y : x) + Real(0.5);
    for (int i = 0; i < 3; ++i) {  // one edge per pair of pixels
        const int32_t a = f[i == 2 ? 0 : i + 1], b = f[i == 0 ? 2 : i - 1];
        Real place;
        if (!edge_crossing(view.q + 3 * int64_t(a), view.q + 3 * int64_t(b), along, across, view.near, place)) continue;
        if (place < start || place > start + 1) continue;
        if (!edge_folds(view, along, a, b, f[i], args.opposite[3 * int64_t(face) + i])) continue;
        found = {a, b, int32_t(near), int32_t(far)};
        return true;
    }
    return false;
}

// The blend of a silhouette: `into` takes `share` of `from`; direction is d share / d place.
template <class Real>
struct Blend {
    int64_t into, from;
    int along;
    Real across, place, share, direction;

    RECON_HD Blend(const MeshView<Real>& view, const Silhouette& s) {
        const int64_t low = s.near_pixel < s.far_pixel ? s.near_pixel : s.far_pixel;
        const int64_t apart = int64_t(s.near_pixel) + s.far_pixel - 2 * low;
        along = apart == 1 && view.width > 1 ? 0 : 1;
        const int x = int(low % view.width), y = int(low / view.width);
        across = Real(along == 0 ? y : x) + Real(0.5);
        const Real start = Real(along == 0 ? x : y) + Real(0.5);
        place = start;
        edge_crossing(view.q + 3 * int64_t(s.a), view.q + 3 * int64_t(s.b), along, across, view.near, place);
        // How far the nearer surface reaches from its own pixel's centre, in [0, 1].
        const Real outward = low == s.near_pixel ? Real(1) : Real(-1);
        const Real reach = low == s.near_pixel ? place - start : start + 1 - place;
        const bool spills = reach > Real(0.5);
        into = spills ? s.far_pixel : s.near_pixel, from = spills ? s.near_pixel : s.far_pixel;
        share = spills ? reach - Real(0.5) : Real(0.5) - reach;
        direction = spills ? outward : -outward;
    }
};

}  // namespace recon
