// The mesh passes from end to end on a random closed field: lattice, extraction, drawing, gradients, distances. Laws are
// checked in Python; here every pass runs once under the sanitizers.
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "check.h"
#include "random_field.h"
#include "cpu/flexicubes.h"
#include "cpu/mesh_raster.h"
#include "cpu/thread_pool.h"
#include "cpu/triangle_tree.h"

using namespace recon;

namespace {

constexpr int kSize = 40;

template <class Real>
void run() {
    RandomField<Real> field(7);
    const FlexiCubesArgs<Real>& args = field.args;
    const SurfaceSize size = flexicubes_count(args);
    const int64_t count = size.duals + size.quads, face_count = 4 * size.quads;
    std::vector<Real> vertices(size_t(3 * count)), deviation(static_cast<size_t>(size.duals));
    std::vector<int32_t> faces(size_t(3 * face_count));
    flexicubes_fill(args, size, vertices.data(), faces.data(), deviation.data());
    std::set<std::pair<int32_t, int32_t>> directed;
    for (size_t i = 0; i < faces.size(); ++i) directed.insert({faces[i], faces[i % 3 == 2 ? i - 2 : i + 1]});
    check::is_true("winding", 0, directed.size() == faces.size());
    for (const auto& [a, b] : directed) check::is_true("closed", 0, directed.count({b, a}) == 1);

    // The pixel of (x, y, z) is (30 x, 30 y) / z + 20.
    std::vector<Real> q = vertices;
    for (int64_t i = 0; i < count; ++i)
        for (int d = 0; d < 2; ++d) q[size_t(3 * i + d)] = 30 * vertices[size_t(3 * i + d)] + 20 * vertices[size_t(3 * i + 2)];
    const MeshView<Real> view = {count, face_count, kSize, kSize, Real(0.1), q.data(), faces.data()};
    std::vector<int32_t> ids(kSize * kSize), face_starts(size_t(face_count + 1)), pixels(ids.size());
    std::vector<Real> depth(ids.size()), barycentrics(3 * ids.size()), v_q(q.size()), v_edge(q.size());
    mesh_rasterize(view, ids.data(), depth.data(), barycentrics.data());
    group_pixels(ids.data(), int64_t(ids.size()), face_count, face_starts.data(), pixels.data());
    check::is_true("pixels are covered", 0, face_starts.back() > kSize);
    mesh_rasterize_backward(view, face_starts.data(), pixels.data(), depth.data(), barycentrics.data(), v_q.data());

    std::vector<int32_t> opposite(faces.size());
    opposite_vertices(faces.data(), face_count, count, opposite.data());
    for (const int32_t v : opposite) check::is_true("every edge has two faces", 0, v >= 0);
    const AntialiasArgs<Real> edges = {view, ids.data(), depth.data(), opposite.data()};
    std::vector<int64_t> rows(kSize + 1);
    std::vector<Silhouette> found(static_cast<size_t>(find_silhouettes(edges, rows.data(), static_cast<Silhouette*>(nullptr))));
    check::is_true("silhouettes", 0, !found.empty());
    find_silhouettes(edges, rows.data(), found.data());
    std::vector<Real> smooth = depth, v_image = depth;
    antialias(edges, found.data(), int64_t(found.size()), depth.data(), 1, smooth.data());
    antialias_backward(edges, found.data(), int64_t(found.size()), depth.data(), 1, depth.data(), v_image.data(), v_edge.data());
    for (size_t i = 0; i < q.size(); ++i) check::is_true("gradients are finite", 0, std::isfinite(v_q[i]) && std::isfinite(v_edge[i]));

    std::vector<Real> v_sdf(field.sdf.size()), v_alpha(field.alpha.size()), v_beta(field.beta.size()), v_gamma(field.gamma.size()), v_offsets(3 * field.sdf.size());
    flexicubes_backward<Real>(args, size,
                              {vertices.data(), vertices.data(), deviation.data(), v_sdf.data(), v_offsets.data(), v_alpha.data(),
                               v_beta.data(), v_gamma.data()});
    for (const Real v : v_sdf) check::is_true("gradients are finite", 0, std::isfinite(v));

    std::vector<int32_t> nearest(static_cast<size_t>(count));
    std::vector<Real> weights(size_t(3 * count));
    closest_points(vertices.data(), faces.data(), face_count, vertices.data(), count, nearest.data(), weights.data());
    for (int64_t i = 0; i < count; ++i)
        for (int d = 0; d < 3; ++d) {
            Real place = 0;
            for (int k = 0; k < 3; ++k) {
                const int32_t corner = faces[size_t(3 * int64_t(nearest[size_t(i)]) + k)];
                place += weights[size_t(3 * i + k)] * vertices[size_t(3 * int64_t(corner) + d)];
            }
            check::is_true("a vertex is its own nearest point", 0, std::abs(place - vertices[size_t(3 * i + d)]) < Real(1e-5));
        }
}

}  // namespace

int main() {
    set_num_threads(3);
    run<float>();
    run<double>();
    return check::summary();
}
