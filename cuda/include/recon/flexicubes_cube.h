// What the extraction's two drivers do with one voxel and with one quad, and the gradients.
#pragma once

#include "recon/flexicubes.h"
#include "recon/flexicubes_args.h"

namespace recon {

RECON_HD float hyperbolic_tangent(float x) { return ::tanhf(x); }
RECON_HD double hyperbolic_tangent(double x) { return ::tanh(x); }

// Weights: alpha and beta are 1 + 0.99 tanh, gamma is 0.99 sigmoid + 0.005 (Shen et al. 2023, section 4.2).
template <class Real>
RECON_HD Real tanh_weight(const Real* raw) {
    return raw ? Real(1) + Real(0.99) * hyperbolic_tangent(*raw) : Real(1);
}
template <class Real>
RECON_HD Real tanh_slope(Real weight) {
    const Real t = (weight - 1) / Real(0.99);
    return Real(0.99) * (1 - t * t);
}
template <class Real>
RECON_HD Real sigmoid_weight(const Real* raw) {
    return raw ? Real(0.99) / (1 + exp(-*raw)) + Real(0.005) : Real(0.5);
}
template <class Real>
RECON_HD Real sigmoid_slope(Real weight) {
    const Real s = (weight - Real(0.005)) / Real(0.99);
    return Real(0.99) * s * (1 - s);
}

template <class Real>
RECON_HD Real floor_of(const FlexiCubesArgs<Real>& a) {
    return a.voxel_size * Real(1e-7);
}

// One cube's corner values, places and weights, loaded once for all of its dual vertices.
template <class Real>
struct Cube {
    const FlexiCubesArgs<Real>& args;
    const int64_t voxel;
    const int32_t* corner;
    const CubeCase& shape;
    Real s[kCubeCorners], alpha[kCubeCorners], x[kCubeCorners][3], beta[kCubeEdges];

    RECON_HD Cube(const FlexiCubesArgs<Real>& a, const CubeTable& table, int64_t v)
        : args(a), voxel(v), corner(a.voxel_corners + 8 * v), shape(table.cases[a.cases[v]]) {
        for (int k = 0; k < kCubeCorners; ++k) {
            const int64_t c = corner[k];
            s[k] = a.sdf[c];
            alpha[k] = tanh_weight(a.alpha ? a.alpha + 8 * v + k : nullptr);
            for (int d = 0; d < 3; ++d)
                x[k][d] = a.origin[d] + a.voxel_size * Real(a.corners[3 * c + d]) + (a.offsets ? a.offsets[3 * c + d] : Real(0));
        }
        for (int e = 0; e < kCubeEdges; ++e)
            if (shape.dual_of_edge[e] != kNoDual) beta[e] = tanh_weight(a.beta ? a.beta + 12 * v + e : nullptr);
    }

    RECON_HD Crossing<Real> crossing(int e, bool weighted) const {
        const int a = edge_corner(e, 0), b = edge_corner(e, 1);
        return weighted ? Crossing<Real>(s[a] * alpha[a], s[b] * alpha[b], floor_of(args)) : Crossing<Real>(s[a], s[b], floor_of(args));
    }

    RECON_HD void point(int e, Real t, Real* out) const {
        const int a = edge_corner(e, 0), b = edge_corner(e, 1);
        for (int d = 0; d < 3; ++d) out[d] = x[a][d] + t * (x[b][d] - x[a][d]);
    }
};

// A dual vertex and what its deviation needs.
template <class Real>
struct Dual {
    int edges[kCubeEdges], count = 0;
    Real u[kCubeEdges][3], position[3] = {}, total = 0;       // weighted crossings, their mean, sum of beta
    Real away[kCubeEdges][3], distance[kCubeEdges], mean = 0; // position - crossing without alpha, its length, mean length

    RECON_HD Dual(const Cube<Real>& cube, int number, bool deviation) {
        for (int e = 0; e < kCubeEdges; ++e) {
            if (cube.shape.dual_of_edge[e] != number) continue;
            Real* point = u[count];
            cube.point(e, cube.crossing(e, true).t, point);
            for (int d = 0; d < 3; ++d) position[d] += cube.beta[e] * point[d];
            total += cube.beta[e];
            edges[count++] = e;
        }
        for (int d = 0; d < 3; ++d) position[d] /= total;
        if (!deviation) return;
        for (int i = 0; i < count; ++i) {
            Real plain[3];
            cube.point(edges[i], cube.crossing(edges[i], false).t, plain);
            Real square = 0;
            for (int d = 0; d < 3; ++d) away[i][d] = position[d] - plain[d], square += away[i][d] * away[i][d];
            distance[i] = sqrt(square);
            mean += distance[i] / Real(count);
        }
    }

    RECON_HD Real deviation() const {
        Real sum = 0;
        for (int i = 0; i < count; ++i) sum += abs(distance[i] - mean);
        return sum / Real(count);
    }
};

// The quad about edge `3 + 4 axis` of a voxel: the voxel's own, and the three that start at corners of it.
struct Quad {
    int64_t voxel[4];
    int32_t vertex[4];  // outward: counter-clockwise seen from outside

    template <class Real>
    RECON_HD static bool find(const FlexiCubesArgs<Real>& a, const CubeTable& table, int64_t v, int axis, Quad& out) {
        const int edge = 4 * axis + 3;
        const int inside = a.cases[v];
        if (table.cases[inside].dual_of_edge[edge] == kNoDual) return false;
        const int32_t* corner = a.voxel_corners + 8 * v;
        const int u = 1 << (axis + 1) % 3, w = 1 << (axis + 2) % 3;
        const int start[4] = {0, u, u | w, w};
        const int own[4] = {3, 2, 0, 1};
        const bool outward = a.sdf[corner[edge_corner(edge, 0)]] < 0;
        for (int i = 0; i < 4; ++i) {
            const int64_t neighbour = i == 0 ? v : a.corner_voxel[corner[start[i]]];
            if (neighbour < 0) return false;  // an open boundary
            const int place = outward ? i : (4 - i) % 4;
            out.voxel[place] = neighbour;
            out.vertex[place] = a.first_vertex[neighbour] + table.cases[a.cases[neighbour]].dual_of_edge[4 * axis + own[i]];
        }
        return true;
    }
};

template <class Real>
struct Diagonals {
    Real gamma[4], first, second;  // products across the diagonals 0-2 and 1-3

    RECON_HD Diagonals(const FlexiCubesArgs<Real>& a, const Quad& quad) {
        for (int i = 0; i < 4; ++i) gamma[i] = sigmoid_weight(a.gamma ? a.gamma + quad.voxel[i] : nullptr);
        first = gamma[0] * gamma[2], second = gamma[1] * gamma[3];
    }
};

template <class Real>
struct CubeGradient {
    Real s[kCubeCorners] = {}, alpha[kCubeCorners] = {}, x[kCubeCorners][3] = {};

    // A gradient by a crossing point, weighted by alpha or not.
    RECON_HD void add(const Cube<Real>& cube, int e, bool weighted, const Real* v_point) {
        const int a = edge_corner(e, 0), b = edge_corner(e, 1);
        const Crossing<Real> c = cube.crossing(e, weighted);
        Real v_t = 0;
        for (int d = 0; d < 3; ++d) {
            x[a][d] += (1 - c.t) * v_point[d];
            x[b][d] += c.t * v_point[d];
            v_t += (cube.x[b][d] - cube.x[a][d]) * v_point[d];
        }
        const Real v_a = v_t * c.slope_a, v_b = v_t * c.slope_b;
        if (!weighted) {
            s[a] += v_a, s[b] += v_b;
            return;
        }
        s[a] += v_a * cube.alpha[a], s[b] += v_b * cube.alpha[b];
        alpha[a] += v_a * cube.s[a], alpha[b] += v_b * cube.s[b];
    }
};

template <class Real>
RECON_HD void dual_gradient(const Cube<Real>& cube, const Dual<Real>& dual, const Real* v_dual, Real v_deviation, CubeGradient<Real>& out,
                   Real* v_beta) {
    Real v[3] = {v_dual[0], v_dual[1], v_dual[2]};
    if (v_deviation != 0) {
        // d = |away|: the mean absolute deviation's slope by d_i is (sign_i - mean sign) / n.
        Real sign[kCubeEdges], mean = 0;
        for (int i = 0; i < dual.count; ++i) {
            const Real rest = dual.distance[i] - dual.mean;
            sign[i] = rest > 0 ? Real(1) : rest < 0 ? Real(-1) : Real(0);
            mean += sign[i] / Real(dual.count);
        }
        for (int i = 0; i < dual.count; ++i) {
            if (!(dual.distance[i] > 0)) continue;
            const Real slope = v_deviation * (sign[i] - mean) / (Real(dual.count) * dual.distance[i]);
            Real v_plain[3];
            for (int d = 0; d < 3; ++d) {
                v[d] += slope * dual.away[i][d];
                v_plain[d] = -slope * dual.away[i][d];
            }
            out.add(cube, dual.edges[i], false, v_plain);
        }
    }
    for (int i = 0; i < dual.count; ++i) {
        const int e = dual.edges[i];
        Real v_u[3], v_weight = 0;
        for (int d = 0; d < 3; ++d) {
            v_u[d] = cube.beta[e] / dual.total * v[d];
            v_weight += (dual.u[i][d] - dual.position[d]) * v[d] / dual.total;
        }
        out.add(cube, e, true, v_u);
        if (v_beta) v_beta[e] = v_weight * tanh_slope(cube.beta[e]);
    }
}

// The cube whose case, and its neighbour's, become their complements: where two cubes share a face that both pass with two
// segments of one dual vertex, four faces would meet in one mesh edge. Both then join the segments the other way round.
// -1 where `v` has no such neighbour above it; raw: [voxels] cases as they are.
template <class Real>
RECON_HD int64_t ambiguous_neighbour(const FlexiCubesArgs<Real>& a, const CubeTable& table, const uint8_t* raw, int64_t v) {
    const int face = table.cases[raw[v]].doubled_face;
    if (face < 0 || face % 2 == 0) return -1;
    const int64_t next = a.corner_voxel[a.voxel_corners[8 * v + (1 << face / 2)]];
    return next >= 0 && table.cases[raw[next]].doubled_face == face - 1 ? next : -1;
}

template <class Real>
RECON_HD uint8_t inside_of(const FlexiCubesArgs<Real>& a, int64_t v) {
    int inside = 0;
    for (int k = 0; k < kCubeCorners; ++k) inside |= int(a.sdf[a.voxel_corners[8 * v + k]] < 0) << k;
    return uint8_t(inside);
}

// Dual vertices of one voxel; deviation may be null.
template <class Real>
RECON_HD void place_duals(const FlexiCubesArgs<Real>& a, const CubeTable& table, int64_t v, Real* vertices, Real* deviation) {
    const int count = table.cases[a.cases[v]].duals;
    if (count == 0) return;
    const Cube<Real> cube(a, table, v);
    for (int i = 0; i < count; ++i) {
        const Dual<Real> dual(cube, i, deviation != nullptr);
        const int64_t number = a.first_vertex[v] + i;
        for (int d = 0; d < 3; ++d) vertices[3 * number + d] = dual.position[d];
        if (deviation) deviation[number] = dual.deviation();
    }
}

// Triangles of quad `number`, and in training its centre.
template <class Real>
RECON_HD void place_quad(const FlexiCubesArgs<Real>& a, const Quad& quad, int64_t duals, int64_t number, Real* vertices, int32_t* faces) {
    const Diagonals<Real> diagonals(a, quad);
    const int32_t* q = quad.vertex;
    if (!a.training) {
        const bool first = diagonals.first > diagonals.second;
        int32_t* f = faces + 6 * number;
        f[0] = q[0], f[1] = q[1], f[2] = first ? q[2] : q[3];
        f[3] = first ? q[0] : q[1], f[4] = q[2], f[5] = q[3];
        return;
    }
    const int64_t centre = duals + number;
    const Real total = diagonals.first + diagonals.second;
    for (int d = 0; d < 3; ++d)
        vertices[3 * centre + d] = (diagonals.first * (vertices[3 * int64_t(q[0]) + d] + vertices[3 * int64_t(q[2]) + d]) +
                                    diagonals.second * (vertices[3 * int64_t(q[1]) + d] + vertices[3 * int64_t(q[3]) + d])) /
                                   (2 * total);
    int32_t* f = faces + 12 * number;
    for (int i = 0; i < 4; ++i) f[3 * i] = q[i], f[3 * i + 1] = q[i == 3 ? 0 : i + 1], f[3 * i + 2] = int32_t(centre);
}

// The gradient of a quad's centre; add(to, value) adds to sums that quads share.
template <class Real, class Add>
RECON_HD void quad_gradient(const FlexiCubesArgs<Real>& a, const FlexiCubesGradient<Real>& g, const Quad& quad, int64_t centre, Real* v_dual,
                            const Add& add) {
    const Diagonals<Real> diagonals(a, quad);
    const Real total = diagonals.first + diagonals.second;
    const Real* v_centre = g.v_vertices + 3 * centre;
    const Real* middle = g.vertices + 3 * centre;
    Real v_product[2] = {};
    for (int i = 0; i < 4; ++i) {
        const Real weight = (i % 2 ? diagonals.second : diagonals.first) / (2 * total);
        for (int d = 0; d < 3; ++d) {
            const int64_t at = 3 * int64_t(quad.vertex[i]) + d;
            add(v_dual + at, weight * v_centre[d]);
            v_product[i % 2] += (g.vertices[at] - middle[d]) * v_centre[d] / (2 * total);
        }
    }
    if (g.v_gamma)
        for (int i = 0; i < 4; ++i)
            add(g.v_gamma + quad.voxel[i], v_product[i % 2] * diagonals.gamma[(i + 2) % 4] * sigmoid_slope(diagonals.gamma[i]));
}

// The gradient of a voxel's dual vertices; add(to, value) adds to sums that voxels share.
template <class Real, class Add>
RECON_HD void cube_gradient(const FlexiCubesArgs<Real>& a, const CubeTable& table, const FlexiCubesGradient<Real>& g, int64_t v,
                            const Real* v_dual, const Add& add) {
    const int count = table.cases[a.cases[v]].duals;
    if (count == 0) return;
    const Cube<Real> cube(a, table, v);
    CubeGradient<Real> out;
    for (int i = 0; i < count; ++i) {
        const int64_t number = a.first_vertex[v] + i;
        dual_gradient(cube, Dual<Real>(cube, i, g.v_deviation != nullptr), v_dual + 3 * number,
                      g.v_deviation ? g.v_deviation[number] : Real(0), out, g.v_beta ? g.v_beta + 12 * v : nullptr);
    }
    for (int k = 0; k < kCubeCorners; ++k) {
        const int64_t c = cube.corner[k];
        add(g.v_sdf + c, out.s[k]);
        if (g.v_offsets)
            for (int d = 0; d < 3; ++d) add(g.v_offsets + 3 * c + d, out.x[k][d]);
        if (g.v_alpha) g.v_alpha[8 * v + k] = out.alpha[k] * tanh_slope(cube.alpha[k]);
    }
}

}  // namespace recon
