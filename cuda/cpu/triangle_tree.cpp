#include "cpu/triangle_tree.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cpu/thread_pool.h"
#include "recon/mesh_triangle.h"

namespace recon {
namespace {

constexpr int64_t kLeaf = 4, kBatch = 256;

struct Node {
    double low[3], high[3];
    int32_t first, count;  // faces of a leaf; an inner node has count 0 and its children at first and first + 1
};

double box_distance2(const Node& node, const double* p) {
    double sum = 0;
    for (int d = 0; d < 3; ++d) {
        const double away = std::max(std::max(node.low[d] - p[d], p[d] - node.high[d]), 0.0);
        sum += away * away;
    }
    return sum;
}

// Squared distance from p to a triangle [3][3] and the nearest point's barycentrics. Source: Ericson 2005, section 5.1.5.
double triangle_distance2(const double (*t)[3], const double* p, double* b) {
    double ab[3], ac[3], ap[3], bp[3], cp[3];
    for (int d = 0; d < 3; ++d)
        ab[d] = t[1][d] - t[0][d], ac[d] = t[2][d] - t[0][d], ap[d] = p[d] - t[0][d], bp[d] = p[d] - t[1][d], cp[d] = p[d] - t[2][d];
    const double d1 = dot3(ab, ap), d2 = dot3(ac, ap), d3 = dot3(ab, bp), d4 = dot3(ac, bp), d5 = dot3(ab, cp), d6 = dot3(ac, cp);
    const double va = d3 * d6 - d5 * d4, vb = d5 * d2 - d1 * d6, vc = d1 * d4 - d3 * d2;
    const auto set = [b](double x, double y, double z) { b[0] = x, b[1] = y, b[2] = z; };
    if (d1 <= 0 && d2 <= 0) set(1, 0, 0);
    else if (d3 >= 0 && d4 <= d3) set(0, 1, 0);
    else if (d6 >= 0 && d5 <= d6) set(0, 0, 1);
    else if (vc <= 0 && d1 >= 0 && d3 <= 0) set(1 - d1 / (d1 - d3), d1 / (d1 - d3), 0);
    else if (vb <= 0 && d2 >= 0 && d6 <= 0) set(1 - d2 / (d2 - d6), 0, d2 / (d2 - d6));
    else if (va <= 0 && d4 - d3 >= 0 && d5 - d6 >= 0) set(0, 1 - (d4 - d3) / (d4 - d3 + d5 - d6), (d4 - d3) / (d4 - d3 + d5 - d6));
    else set(va / (va + vb + vc), vb / (va + vb + vc), vc / (va + vb + vc));
    double sum = 0;
    for (int d = 0; d < 3; ++d) {
        const double away = b[0] * t[0][d] + b[1] * t[1][d] + b[2] * t[2][d] - p[d];
        sum += away * away;
    }
    return sum;
}

// Where a ray enters a box, infinity when it misses it or enters beyond `far`. inverse: 1 / direction.
double box_entry(const Node& node, const double* origin, const double* inverse, double far) {
    double near = 0;
    for (int d = 0; d < 3; ++d) {
        const double a = (node.low[d] - origin[d]) * inverse[d], b = (node.high[d] - origin[d]) * inverse[d];
        if (std::isnan(a) || std::isnan(b)) continue;  // 0 * inf: the ray runs within a side of the box
        if (std::min(a, b) > near) near = std::min(a, b);
        if (std::max(a, b) < far) far = std::max(a, b);
    }
    return near <= far ? near : std::numeric_limits<double>::infinity();
}

// Parameter of the hit of a ray with a triangle [3][3], from either side, infinity for a miss. Source: Moeller & Trumbore 1997.
double ray_triangle(const double (*t)[3], const double* origin, const double* direction) {
    constexpr double kMiss = std::numeric_limits<double>::infinity();
    double e1[3], e2[3], s[3], p[3], q[3];
    for (int d = 0; d < 3; ++d) e1[d] = t[1][d] - t[0][d], e2[d] = t[2][d] - t[0][d], s[d] = origin[d] - t[0][d];
    cross3(direction, e2, p);
    const double det = dot3(e1, p);
    if (det == 0) return kMiss;
    const double u = dot3(s, p) / det;
    cross3(s, e1, q);
    const double v = dot3(direction, q) / det;
    return u < 0 || v < 0 || u + v > 1 ? kMiss : dot3(e2, q) / det;
}

struct Tree {
    std::vector<double> corners;  // [faces, 3, 3]
    std::vector<int32_t> order;
    std::vector<Node> nodes;

    template <class Real>
    Tree(const Real* vertices, const int32_t* faces, int64_t count) : corners(size_t(9 * count)), order(size_t(count)) {
        for (int64_t i = 0; i < 3 * count; ++i)
            for (int d = 0; d < 3; ++d) corners[size_t(3 * i + d)] = double(vertices[3 * int64_t(faces[i]) + d]);
        std::iota(order.begin(), order.end(), 0);
        if (count == 0) return;
        nodes.reserve(size_t(count));
        nodes.push_back({});
        split(0, 0, count);
    }

    double middle(int32_t face, int axis) const {
        const double* c = corners.data() + 9 * int64_t(face) + axis;
        return c[0] + c[3] + c[6];
    }

    void split(size_t node, int64_t begin, int64_t end) {
        Node box = {};
        for (int d = 0; d < 3; ++d) box.low[d] = std::numeric_limits<double>::infinity(), box.high[d] = -box.low[d];
        for (int64_t i = begin; i < end; ++i)
            for (int k = 0; k < 9; ++k) {
                const double x = corners[size_t(9 * int64_t(order[size_t(i)]) + k)];
                box.low[k % 3] = std::min(box.low[k % 3], x), box.high[k % 3] = std::max(box.high[k % 3], x);
            }
        if (end - begin <= kLeaf) {
            box.first = int32_t(begin), box.count = int32_t(end - begin);
            nodes[node] = box;
            return;
        }
        int axis = 0;
        for (int d = 1; d < 3; ++d)
            if (box.high[d] - box.low[d] > box.high[axis] - box.low[axis]) axis = d;
        const int64_t half = (begin + end) / 2;
        std::nth_element(order.begin() + begin, order.begin() + half, order.begin() + end, [&](int32_t a, int32_t b) {
            const double x = middle(a, axis), y = middle(b, axis);
            return x < y || (x == y && a < b);
        });
        box.first = int32_t(nodes.size()), box.count = 0;
        nodes[node] = box;
        nodes.push_back({});
        nodes.push_back({});
        split(size_t(box.first), begin, half);
        split(size_t(box.first) + 1, half, end);
    }

    int32_t closest(const double* p, double* barycentrics) const {
        int32_t stack[128], best_face = -1;
        double best = std::numeric_limits<double>::infinity();
        int top = 0;
        stack[top++] = 0;
        while (top > 0) {
            const Node& node = nodes[size_t(stack[--top])];
            if (box_distance2(node, p) > best) continue;
            if (node.count == 0) {
                const bool left_first = box_distance2(nodes[size_t(node.first)], p) <= box_distance2(nodes[size_t(node.first) + 1], p);
                stack[top++] = node.first + (left_first ? 1 : 0);
                stack[top++] = node.first + (left_first ? 0 : 1);
                continue;
            }
            for (int32_t i = node.first; i < node.first + node.count; ++i) {
                const int32_t face = order[size_t(i)];
                double b[3];
                const double distance = triangle_distance2(reinterpret_cast<const double(*)[3]>(corners.data() + 9 * int64_t(face)), p, b);
                if (distance < best || (distance == best && face < best_face)) {
                    best = distance, best_face = face;
                    std::copy(b, b + 3, barycentrics);
                }
            }
        }
        return best_face;
    }

    // The nearest hit beyond `near`; ties go to the face with the lower index.
    int32_t first_hit(const double* origin, const double* direction, double near, double& best) const {
        const double inverse[3] = {1 / direction[0], 1 / direction[1], 1 / direction[2]};
        int32_t stack[128], best_face = -1;
        best = std::numeric_limits<double>::infinity();
        int top = 0;
        stack[top++] = 0;
        while (top > 0) {
            const Node& node = nodes[size_t(stack[--top])];
            if (box_entry(node, origin, inverse, best) == std::numeric_limits<double>::infinity()) continue;
            if (node.count == 0) {
                const Node &left = nodes[size_t(node.first)], &right = nodes[size_t(node.first) + 1];
                const bool left_first = box_entry(left, origin, inverse, best) <= box_entry(right, origin, inverse, best);
                stack[top++] = node.first + (left_first ? 1 : 0);
                stack[top++] = node.first + (left_first ? 0 : 1);
                continue;
            }
            for (int32_t i = node.first; i < node.first + node.count; ++i) {
                const int32_t face = order[size_t(i)];
                const double t = ray_triangle(reinterpret_cast<const double(*)[3]>(corners.data() + 9 * int64_t(face)), origin, direction);
                if (t > near && (t < best || (t == best && face < best_face))) best = t, best_face = face;
            }
        }
        return best_face;
    }
};

}  // namespace

template <class Real>
void closest_points(const Real* vertices, const int32_t* faces, int64_t face_count, const Real* points, int64_t count, int32_t* face,
                    Real* barycentrics) {
    if (face_count == 0) {
        std::fill(face, face + count, -1);
        std::fill(barycentrics, barycentrics + 3 * count, Real(0));
        return;
    }
    const Tree tree(vertices, faces, face_count);
    parallel_for((count + kBatch - 1) / kBatch, [&](int64_t batch, int) {
        for (int64_t i = batch * kBatch; i < std::min(count, (batch + 1) * kBatch); ++i) {
            const double p[3] = {double(points[3 * i]), double(points[3 * i + 1]), double(points[3 * i + 2])};
            double b[3] = {};
            face[i] = tree.closest(p, b);
            for (int d = 0; d < 3; ++d) barycentrics[3 * i + d] = Real(b[d]);
        }
    });
}

template <class Real>
void first_hits(const Real* vertices, const int32_t* faces, int64_t face_count, const Real* origins, const Real* directions, int64_t count,
                double near, int32_t* face, Real* distance) {
    std::fill(face, face + count, -1);
    std::fill(distance, distance + count, std::numeric_limits<Real>::infinity());
    if (face_count == 0) return;
    const Tree tree(vertices, faces, face_count);
    parallel_for((count + kBatch - 1) / kBatch, [&](int64_t batch, int) {
        for (int64_t i = batch * kBatch; i < std::min(count, (batch + 1) * kBatch); ++i) {
            const double o[3] = {double(origins[3 * i]), double(origins[3 * i + 1]), double(origins[3 * i + 2])};
            const double d[3] = {double(directions[3 * i]), double(directions[3 * i + 1]), double(directions[3 * i + 2])};
            double t;
            face[i] = tree.first_hit(o, d, near, t);
            distance[i] = Real(t);
        }
    });
}

template void first_hits<float>(const float*, const int32_t*, int64_t, const float*, const float*, int64_t, double, int32_t*, float*);
template void first_hits<double>(const double*, const int32_t*, int64_t, const double*, const double*, int64_t, double, int32_t*, double*);

template void closest_points<float>(const float*, const int32_t*, int64_t, const float*, int64_t, int32_t*, float*);
template void closest_points<double>(const double*, const int32_t*, int64_t, const double*, int64_t, int32_t*, double*);

}  // namespace recon
