#include "cpu/flexicubes.h"

#include <cmath>
#include <vector>

#include "cpu/thread_pool.h"
#include "recon/flexicubes.h"

namespace recon {
namespace {

constexpr CubeTable kTable = make_cube_table();

// Weights: alpha and beta are 1 + 0.99 tanh, gamma is 0.99 sigmoid + 0.005 (Shen et al. 2023, section 4.2).
template <class Real>
Real tanh_weight(const Real* raw) {
    return raw ? Real(1) + Real(0.99) * std::tanh(*raw) : Real(1);
}
template <class Real>
Real tanh_slope(Real weight) {
    const Real t = (weight - 1) / Real(0.99);
    return Real(0.99) * (1 - t * t);
}
template <class Real>
Real sigmoid_weight(const Real* raw) {
    return raw ? Real(0.99) / (1 + std::exp(-*raw)) + Real(0.005) : Real(0.5);
}
template <class Real>
Real sigmoid_slope(Real weight) {
    const Real s = (weight - Real(0.005)) / Real(0.99);
    return Real(0.99) * s * (1 - s);
}

template <class Real>
Real floor_of(const FlexiCubesArgs<Real>& a) {
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

    Cube(const FlexiCubesArgs<Real>& a, int64_t v)
        : args(a), voxel(v), corner(a.voxel_corners + 8 * v), shape(kTable.cases[a.cases[v]]) {
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

    Crossing<Real> crossing(int e, bool weighted) const {
        const int a = edge_corner(e, 0), b = edge_corner(e, 1);
        return weighted ? Crossing<Real>(s[a] * alpha[a], s[b] * alpha[b], floor_of(args)) : Crossing<Real>(s[a], s[b], floor_of(args));
    }

    void point(int e, Real t, Real* out) const {
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

    Dual(const Cube<Real>& cube, int number, bool deviation) {
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
            distance[i] = std::sqrt(square);
            mean += distance[i] / Real(count);
        }
    }

    Real deviation() const {
        Real sum = 0;
        for (int i = 0; i < count; ++i) sum += std::abs(distance[i] - mean);
        return sum / Real(count);
    }
};

// The quad about edge `3 + 4 axis` of a voxel: the voxel's own, and the three that start at corners of it.
struct Quad {
    int64_t voxel[4];
    int32_t vertex[4];  // outward: counter-clockwise seen from outside

    template <class Real>
    static bool find(const FlexiCubesArgs<Real>& a, int64_t v, int axis, Quad& out) {
        const int edge = 4 * axis + 3;
        const int inside = a.cases[v];
        if (kTable.cases[inside].dual_of_edge[edge] == kNoDual) return false;
        const int32_t* corner = a.voxel_corners + 8 * v;
        const int u = 1 << (axis + 1) % 3, w = 1 << (axis + 2) % 3;
        const int start[4] = {0, u, u | w, w};
        static constexpr int kEdge[4] = {3, 2, 0, 1};
        const bool outward = a.sdf[corner[edge_corner(edge, 0)]] < 0;
        for (int i = 0; i < 4; ++i) {
            const int64_t neighbour = i == 0 ? v : a.corner_voxel[corner[start[i]]];
            if (neighbour < 0) return false;  // an open boundary
            const int place = outward ? i : (4 - i) % 4;
            out.voxel[place] = neighbour;
            out.vertex[place] = a.first_vertex[neighbour] + kTable.cases[a.cases[neighbour]].dual_of_edge[4 * axis + kEdge[i]];
        }
        return true;
    }
};

template <class Real>
struct Diagonals {
    Real gamma[4], first, second;  // products across the diagonals 0-2 and 1-3

    Diagonals(const FlexiCubesArgs<Real>& a, const Quad& quad) {
        for (int i = 0; i < 4; ++i) gamma[i] = sigmoid_weight(a.gamma ? a.gamma + quad.voxel[i] : nullptr);
        first = gamma[0] * gamma[2], second = gamma[1] * gamma[3];
    }
};

// Where two cubes share a face that both pass with two segments of one dual vertex, four faces would meet in one mesh edge:
// both cubes then join the segments the other way round, as in the complement of their case.
template <class Real>
void resolve_ambiguity(const FlexiCubesArgs<Real>& a, const std::vector<uint8_t>& raw) {
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            const int face = kTable.cases[raw[size_t(v)]].doubled_face;
            if (face < 0 || face % 2 == 0) continue;
            const int64_t next = a.corner_voxel[a.voxel_corners[8 * v + (1 << face / 2)]];
            if (next < 0 || kTable.cases[raw[size_t(next)]].doubled_face != face - 1) continue;
            a.cases[v] = uint8_t(255 - raw[size_t(v)]);
            a.cases[next] = uint8_t(255 - raw[size_t(next)]);
        }
    });
}

// Runs body(layer) on the even layers and then on the odd ones.
template <class Body>
void for_layers_apart(int64_t layers, const Body& body) {
    for (int64_t parity = 0; parity < 2; ++parity)
        parallel_for((layers - parity + 1) / 2, [&](int64_t i, int) { body(2 * i + parity); });
}

template <class Real>
void quad_gradient(const FlexiCubesArgs<Real>& a, const FlexiCubesGradient<Real>& g, SurfaceSize size, int64_t layer, Real* v_dual) {
    int64_t centre = size.duals + a.quad_starts[layer];
    for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v)
        for (int axis = 0; axis < 3; ++axis) {
            Quad quad;
            if (!Quad::find(a, v, axis, quad)) continue;
            const Diagonals<Real> diagonals(a, quad);
            const Real total = diagonals.first + diagonals.second;
            const Real* v_centre = g.v_vertices + 3 * centre;
            const Real* middle = g.vertices + 3 * centre;
            Real v_product[2] = {};
            for (int i = 0; i < 4; ++i) {
                const Real weight = (i % 2 ? diagonals.second : diagonals.first) / (2 * total);
                for (int d = 0; d < 3; ++d) {
                    v_dual[3 * quad.vertex[i] + d] += weight * v_centre[d];
                    v_product[i % 2] += (g.vertices[3 * quad.vertex[i] + d] - middle[d]) * v_centre[d] / (2 * total);
                }
            }
            if (g.v_gamma)
                for (int i = 0; i < 4; ++i)
                    g.v_gamma[quad.voxel[i]] += v_product[i % 2] * diagonals.gamma[(i + 2) % 4] * sigmoid_slope(diagonals.gamma[i]);
            ++centre;
        }
}

template <class Real>
struct CubeGradient {
    Real s[kCubeCorners] = {}, alpha[kCubeCorners] = {}, x[kCubeCorners][3] = {};

    // A gradient by a crossing point, weighted by alpha or not.
    void add(const Cube<Real>& cube, int e, bool weighted, const Real* v_point) {
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
void dual_gradient(const Cube<Real>& cube, const Dual<Real>& dual, const Real* v_dual, Real v_deviation, CubeGradient<Real>& out,
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

}  // namespace

template <class Real>
SurfaceSize flexicubes_count(const FlexiCubesArgs<Real>& a) {
    std::vector<uint8_t> raw(size_t(a.voxels));
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            int inside = 0;
            for (int k = 0; k < kCubeCorners; ++k) inside |= int(a.sdf[a.voxel_corners[8 * v + k]] < 0) << k;
            raw[size_t(v)] = a.cases[v] = uint8_t(inside);
        }
    });
    resolve_ambiguity(a, raw);
    std::vector<int64_t> duals(size_t(a.layers) + 1);
    parallel_for(a.layers, [&](int64_t layer, int) {
        int32_t next = 0;
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            a.first_vertex[v] = next;
            next += kTable.cases[a.cases[v]].duals;
        }
        duals[size_t(layer) + 1] = next;
    });
    for (int64_t layer = 0; layer < a.layers; ++layer) duals[size_t(layer) + 1] += duals[size_t(layer)];
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) a.first_vertex[v] += int32_t(duals[size_t(layer)]);
    });
    a.quad_starts[0] = 0;
    parallel_for(a.layers, [&](int64_t layer, int) {
        int64_t quads = 0;
        Quad quad;
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v)
            for (int axis = 0; axis < 3; ++axis) quads += Quad::find(a, v, axis, quad);
        a.quad_starts[layer + 1] = quads;
    });
    for (int64_t layer = 0; layer < a.layers; ++layer) a.quad_starts[layer + 1] += a.quad_starts[layer];
    return {duals[size_t(a.layers)], a.quad_starts[a.layers]};
}

template <class Real>
void flexicubes_fill(const FlexiCubesArgs<Real>& a, SurfaceSize size, Real* vertices, int32_t* faces, Real* deviation) {
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            const int count = kTable.cases[a.cases[v]].duals;
            if (count == 0) continue;
            const Cube<Real> cube(a, v);
            for (int i = 0; i < count; ++i) {
                const Dual<Real> dual(cube, i, deviation != nullptr);
                const int64_t number = a.first_vertex[v] + i;
                for (int d = 0; d < 3; ++d) vertices[3 * number + d] = dual.position[d];
                if (deviation) deviation[number] = dual.deviation();
            }
        }
    });
    parallel_for(a.layers, [&](int64_t layer, int) {
        int64_t number = a.quad_starts[layer];
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v)
            for (int axis = 0; axis < 3; ++axis) {
                Quad quad;
                if (!Quad::find(a, v, axis, quad)) continue;
                const Diagonals<Real> diagonals(a, quad);
                const int32_t* q = quad.vertex;
                if (!a.training) {
                    const bool first = diagonals.first > diagonals.second;
                    int32_t* f = faces + 6 * number;
                    f[0] = q[0], f[1] = q[1], f[2] = first ? q[2] : q[3];
                    f[3] = first ? q[0] : q[1], f[4] = q[2], f[5] = q[3];
                } else {
                    const int64_t centre = size.duals + number;
                    const Real total = diagonals.first + diagonals.second;
                    for (int d = 0; d < 3; ++d)
                        vertices[3 * centre + d] = (diagonals.first * (vertices[3 * q[0] + d] + vertices[3 * q[2] + d]) +
                                                    diagonals.second * (vertices[3 * q[1] + d] + vertices[3 * q[3] + d])) /
                                                   (2 * total);
                    int32_t* f = faces + 12 * number;
                    for (int i = 0; i < 4; ++i) f[3 * i] = q[i], f[3 * i + 1] = q[(i + 1) % 4], f[3 * i + 2] = int32_t(centre);
                }
                ++number;
            }
    });
}

template <class Real>
void flexicubes_backward(const FlexiCubesArgs<Real>& a, SurfaceSize size, const FlexiCubesGradient<Real>& g) {
    std::vector<Real> v_dual(g.v_vertices, g.v_vertices + 3 * size.duals);
    if (a.training)
        for_layers_apart(a.layers, [&](int64_t layer) { quad_gradient(a, g, size, layer, v_dual.data()); });
    for_layers_apart(a.layers, [&](int64_t layer) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            const int count = kTable.cases[a.cases[v]].duals;
            if (count == 0) continue;
            const Cube<Real> cube(a, v);
            CubeGradient<Real> out;
            for (int i = 0; i < count; ++i) {
                const int64_t number = a.first_vertex[v] + i;
                dual_gradient(cube, Dual<Real>(cube, i, g.v_deviation != nullptr), v_dual.data() + 3 * number,
                              g.v_deviation ? g.v_deviation[number] : Real(0), out, g.v_beta ? g.v_beta + 12 * v : nullptr);
            }
            for (int k = 0; k < kCubeCorners; ++k) {
                const int64_t c = cube.corner[k];
                g.v_sdf[c] += out.s[k];
                if (g.v_offsets)
                    for (int d = 0; d < 3; ++d) g.v_offsets[3 * c + d] += out.x[k][d];
                if (g.v_alpha) g.v_alpha[8 * v + k] = out.alpha[k] * tanh_slope(cube.alpha[k]);
            }
        }
    });
}

#define RECON_INSTANTIATE(Real)                                                                             \
    template SurfaceSize flexicubes_count<Real>(const FlexiCubesArgs<Real>&);                               \
    template void flexicubes_fill<Real>(const FlexiCubesArgs<Real>&, SurfaceSize, Real*, int32_t*, Real*); \
    template void flexicubes_backward<Real>(const FlexiCubesArgs<Real>&, SurfaceSize, const FlexiCubesGradient<Real>&);
RECON_INSTANTIATE(float)
RECON_INSTANTIATE(double)

}  // namespace recon
