// Triangles seen by a pinhole camera, in homogeneous pixel coordinates q = K (R x + t): the pixel is (q_x, q_y) / q_z and the
// depth q_z. With the pixel's ray p = (x, y, 1), a_i = p . (q_j x q_k) are proportional to the perspective-correct
// barycentrics, whichever side of the camera the vertices are on: nothing has to be clipped.
// Source: Olano & Greer 1997, "Triangle scan conversion using 2D homogeneous coordinates".
#pragma once

#include "recon/math.h"

namespace recon {

template <class Real>
RECON_HD void cross3(const Real* a, const Real* b, Real* out) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

template <class Real>
RECON_HD Real dot3(const Real* a, const Real* b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// Adds to v_q [3][3] the gradient of one pixel's barycentrics and depth. Zero-area triangles are never drawn.
template <class Real>
RECON_HD void triangle_pixel_gradient(const Real* const q[3], Real x, Real y, const Real* v_barycentric, Real v_depth, Real v_q[3][3]) {
    const Real p[3] = {x, y, 1};
    Real edge[3][3], a[3], sum = 0;
    for (int i = 0; i < 3; ++i) {
        cross3(q[(i + 1) % 3], q[(i + 2) % 3], edge[i]);
        a[i] = dot3(edge[i], p);
        sum += a[i];
    }
    const Real inverse = 1 / sum;
    const Real depth = dot3(q[0], edge[0]) * inverse;
    Real mean = v_depth * depth;
    for (int i = 0; i < 3; ++i) mean += v_barycentric[i] * a[i] * inverse;
    for (int i = 0; i < 3; ++i) {
        const Real v_a = (v_barycentric[i] - mean) * inverse;
        const int j = (i + 1) % 3, k = (i + 2) % 3;
        Real by_j[3], by_k[3];
        cross3(q[k], p, by_j);
        cross3(p, q[j], by_k);
        for (int d = 0; d < 3; ++d) {
            v_q[j][d] += v_a * by_j[d];
            v_q[k][d] += v_a * by_k[d];
            v_q[i][d] += v_depth * inverse * edge[i][d];
        }
    }
}

// Where the edge from a to b crosses the row y (or, with axes swapped, the column), in front of the near plane.
template <class Real>
RECON_HD bool edge_crossing(const Real* a, const Real* b, int along, Real across, Real near, Real& place) {
    const int other = 1 - along;
    const Real from = a[other] - across * a[2], to = b[other] - across * b[2];
    if ((from < 0) == (to < 0)) return false;
    const Real t = from / (from - to);
    const Real z = a[2] + t * (b[2] - a[2]);
    if (!(z > near)) return false;
    place = (a[along] + t * (b[along] - a[along])) / z;
    return true;
}

// Adds the gradient of `place`: on the edge's line e . p = 0 with e = a x b, so d place = -(de . p) / e_along.
template <class Real>
RECON_HD void edge_crossing_gradient(const Real* a, const Real* b, int along, Real across, Real place, Real v_place, Real* v_a, Real* v_b) {
    const Real p[3] = {along == 0 ? place : across, along == 0 ? across : place, 1};
    Real edge[3], by_a[3], by_b[3];
    cross3(a, b, edge);
    cross3(b, p, by_a);
    cross3(p, a, by_b);
    const Real slope = -v_place / edge[along];
    for (int d = 0; d < 3; ++d) v_a[d] += slope * by_a[d], v_b[d] += slope * by_b[d];
}

}  // namespace recon
