// FlexiCubes (Shen et al. 2023) on one cube: the generated case table and the maths of dual vertices.
// Corner k is the bit pattern x | y << 1 | z << 2; inside is s < 0, so zero is outside. A case is the set of inside corners.
// Edge e runs along axis d = e / 4; bit 0 of e % 4 is its place along axis d + 1, bit 1 its place along axis d + 2 (mod 3).
#pragma once

#include <cstdint>

#include "recon/math.h"

namespace recon {

constexpr int kCubeCorners = 8, kCubeEdges = 12;
constexpr int kMaxDuals = 4;          // dual vertices of one cube
constexpr uint8_t kNoDual = 0xff;     // the edge is not cut
constexpr int8_t kNoFace = -1;

// First (end = 0) or last (end = 1) corner of an edge.
RECON_HD constexpr int edge_corner(int edge, int end) {
    const int axis = edge / 4;
    return ((edge & 1) << (axis + 1) % 3) | ((edge >> 1 & 1) << (axis + 2) % 3) | (end << axis);
}

constexpr int edge_between(int a, int b) {
    for (int e = 0; e < kCubeEdges; ++e)
        if ((edge_corner(e, 0) == a && edge_corner(e, 1) == b) || (edge_corner(e, 0) == b && edge_corner(e, 1) == a)) return e;
    return -1;
}

// Corner `step` of a walk around face 2 * axis + side.
constexpr int face_corner(int face, int step) {
    const int axis = face / 2, side = face % 2;
    const int u = step == 1 || step == 2, v = step >= 2;
    return (side << axis) | (u << (axis + 1) % 3) | (v << (axis + 2) % 3);
}

struct CubeCase {
    uint8_t duals = 0;             // number of dual vertices
    int8_t doubled_face = kNoFace; // the ambiguous face both of whose segments belong to one dual vertex, if any
    uint8_t dual_of_edge[kCubeEdges] = {};
};

struct CubeTable {
    CubeCase cases[256] = {};
};

// Cut edges are joined on each face: two cuts to each other, four cuts pairwise around each INSIDE corner. Every connected
// set of edges is one dual vertex (its loop on the cube's surface).
constexpr CubeCase make_cube_case(int inside) {
    CubeCase out;
    int root[kCubeEdges] = {};
    for (int e = 0; e < kCubeEdges; ++e) root[e] = e;
    const auto cut = [inside](int e) { return ((inside >> edge_corner(e, 0)) ^ (inside >> edge_corner(e, 1))) & 1; };
    const auto join = [&root](int a, int b) {
        const int from = root[a], to = root[b];
        for (int e = 0; e < kCubeEdges; ++e)
            if (root[e] == from) root[e] = to;
    };
    int edges[6][4] = {}, cuts[6] = {};
    for (int f = 0; f < 6; ++f) {
        for (int step = 0; step < 4; ++step) {
            edges[f][step] = edge_between(face_corner(f, step), face_corner(f, (step + 1) % 4));
            cuts[f] += cut(edges[f][step]);
        }
        if (cuts[f] == 2) {
            int first = -1;
            for (int step = 0; step < 4; ++step) {
                if (!cut(edges[f][step])) continue;
                if (first < 0) first = edges[f][step];
                else join(first, edges[f][step]);
            }
        } else if (cuts[f] == 4) {
            for (int step = 0; step < 4; ++step)
                if (inside >> face_corner(f, step) & 1) join(edges[f][step], edges[f][(step + 3) % 4]);
        }
    }
    for (int f = 0; f < 6; ++f)
        if (cuts[f] == 4 && root[edges[f][0]] == root[edges[f][1]] && root[edges[f][1]] == root[edges[f][2]])
            out.doubled_face = int8_t(f);
    int number[kCubeEdges] = {};
    for (int e = 0; e < kCubeEdges; ++e) number[e] = -1;
    for (int e = 0; e < kCubeEdges; ++e) {
        out.dual_of_edge[e] = kNoDual;
        if (!cut(e)) continue;
        if (number[root[e]] < 0) number[root[e]] = out.duals++;
        out.dual_of_edge[e] = uint8_t(number[root[e]]);
    }
    return out;
}

constexpr CubeTable make_cube_table() {
    CubeTable table;
    for (int c = 0; c < 256; ++c) table.cases[c] = make_cube_case(c);
    return table;
}

// Zero crossing between corners with values a < 0 <= b or b < 0 <= a: x_a + t (x_b - x_a). `floor` keeps the slope finite
// when both values are almost zero.
template <class Real>
struct Crossing {
    Real t, slope_a, slope_b;  // t and its derivatives by a and b

    RECON_HD Crossing(Real a, Real b, Real floor) {
        const Real difference = b - a;
        const Real magnitude = difference < 0 ? -difference : difference;
        const Real scale = difference < 0 ? Real(-1) : Real(1);
        const Real inverse = scale / (magnitude > floor ? magnitude : floor);
        t = -a * inverse;
        slope_a = -b * inverse * inverse;
        slope_b = a * inverse * inverse;
    }
};

}  // namespace recon
