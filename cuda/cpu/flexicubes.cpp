#include "cpu/flexicubes.h"

#include <vector>

#include "cpu/thread_pool.h"
#include "recon/flexicubes_cube.h"

namespace recon {
namespace {

constexpr CubeTable kTable = make_cube_table();

template <class Real>
void resolve_ambiguity(const FlexiCubesArgs<Real>& a, const std::vector<uint8_t>& raw) {
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            const int64_t next = ambiguous_neighbour(a, kTable, raw.data(), v);
            if (next < 0) continue;
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

}  // namespace

template <class Real>
SurfaceSize flexicubes_count(const FlexiCubesArgs<Real>& a) {
    std::vector<uint8_t> raw(size_t(a.voxels));
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            raw[size_t(v)] = a.cases[v] = inside_of(a, v);
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
            for (int axis = 0; axis < 3; ++axis) quads += Quad::find(a, kTable, v, axis, quad);
        a.quad_starts[layer + 1] = quads;
    });
    for (int64_t layer = 0; layer < a.layers; ++layer) a.quad_starts[layer + 1] += a.quad_starts[layer];
    return {duals[size_t(a.layers)], a.quad_starts[a.layers]};
}

template <class Real>
void flexicubes_fill(const FlexiCubesArgs<Real>& a, SurfaceSize size, Real* vertices, int32_t* faces, Real* deviation) {
    parallel_for(a.layers, [&](int64_t layer, int) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) {
            place_duals(a, kTable, v, vertices, deviation);
        }
    });
    parallel_for(a.layers, [&](int64_t layer, int) {
        int64_t number = a.quad_starts[layer];
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v)
            for (int axis = 0; axis < 3; ++axis) {
                Quad quad;
                if (!Quad::find(a, kTable, v, axis, quad)) continue;
                place_quad(a, quad, size.duals, number, vertices, faces);
                ++number;
            }
    });
}

template <class Real>
void flexicubes_backward(const FlexiCubesArgs<Real>& a, SurfaceSize size, const FlexiCubesGradient<Real>& g) {
    std::vector<Real> v_dual(g.v_vertices, g.v_vertices + 3 * size.duals);
    const auto add = [](Real* to, Real value) { *to += value; };
    if (a.training)
        for_layers_apart(a.layers, [&](int64_t layer) {
            int64_t centre = size.duals + a.quad_starts[layer];
            for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v)
                for (int axis = 0; axis < 3; ++axis) {
                    Quad quad;
                    if (Quad::find(a, kTable, v, axis, quad)) quad_gradient(a, g, quad, centre++, v_dual.data(), add);
                }
        });
    for_layers_apart(a.layers, [&](int64_t layer) {
        for (int64_t v = a.layer_starts[layer]; v < a.layer_starts[layer + 1]; ++v) cube_gradient(a, kTable, g, v, v_dual.data(), add);
    });
}

#define RECON_INSTANTIATE(Real)                                                                             \
    template SurfaceSize flexicubes_count<Real>(const FlexiCubesArgs<Real>&);                               \
    template void flexicubes_fill<Real>(const FlexiCubesArgs<Real>&, SurfaceSize, Real*, int32_t*, Real*); \
    template void flexicubes_backward<Real>(const FlexiCubesArgs<Real>&, SurfaceSize, const FlexiCubesGradient<Real>&);
RECON_INSTANTIATE(float)
RECON_INSTANTIATE(double)

}  // namespace recon
