// The mesh rasteriser's kernels, run by the emulator, against the CPU driver. Which face a pixel shows and how deep must agree to
// the bit; gradients are sums in another order.
#include <cmath>
#include <random>
#include <vector>

#include "compare.h"
#include "cpu/mesh_raster.h"
#include "gpu/mesh.h"

using namespace recon;

namespace {

// A crumpled sheet before and behind the camera, a stray triangle through it, one that is no number and one that is a line; taller
// than a band of the kernel, with a border and folds, which are silhouettes.
void test_mesh() {
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    const int side = 14, width = 53, height = 2 * gpu::kBand + 9, channels = 5;
    std::vector<float> q;
    std::vector<int32_t> index;
    const auto point = [&](float x, float y, float z) { q.insert(q.end(), {50 * x + 25 * z, 80 * y + 70 * z, z}); };
    for (int y = 0; y < side; ++y)
        for (int x = 0; x < side; ++x) {
            point(0.2f * float(x) - 1.3f, 0.2f * float(y) - 1.3f, 1.3f + 0.35f * normal(random) - 0.1f * float(y));
            const int32_t a = side * y + x;
            if (x && y) index.insert(index.end(), {a, a - 1, a - side, a - side - 1, a - side, a - 1});
        }
    const int32_t first = int32_t(q.size() / 3);
    for (int i = 0; i < 3; ++i) point(i == 0 ? -2.0f : 2.0f, i == 1 ? -2.0f : 2.0f, i == 2 ? 2.5f : 0.5f);
    point(NAN, 0, 1);
    index.insert(index.end(), {first, first + 1, first + 2, first, first + 1, first + 3, first, first + 1, first});
    const int64_t vertices = int64_t(q.size() / 3), faces = int64_t(index.size() / 3), pixels = int64_t(width) * height;
    const MeshView<float> view = {vertices, faces, width, height, 0.2f, q.data(), index.data()};

    std::vector<int32_t> cpu_ids(size_t(pixels), 7), gpu_ids = cpu_ids, starts(size_t(faces + 1)), grouped(static_cast<size_t>(pixels));
    std::vector<float> cpu_depth(size_t(pixels), 7), gpu_depth = cpu_depth, cpu_weights(size_t(3 * pixels), 7), gpu_weights = cpu_weights;
    std::vector<uint64_t> keys(size_t(pixels), 7);
    mesh_rasterize(view, cpu_ids.data(), cpu_depth.data(), cpu_weights.data());
    gpu::mesh_rasterize(view, keys.data(), gpu_ids.data(), gpu_depth.data(), gpu_weights.data(), nullptr);
    int covered = 0;
    for (const int32_t id : cpu_ids) covered += id >= 0;
    check::is_true("a mesh is seen, and past it", 0, covered > pixels / 4 && covered < pixels);
    check::is_true("faces of pixels", 0, gpu_ids == cpu_ids);
    check::is_true("depths", 0, gpu_depth == cpu_depth);
    compare("barycentrics", gpu_weights, cpu_weights, 1e-6);

    const auto noise = [&](int64_t count) {
        std::vector<float> v(static_cast<size_t>(count));
        for (float& x : v) x = normal(random);
        return v;
    };
    group_pixels(cpu_ids.data(), pixels, faces, starts.data(), grouped.data());
    const std::vector<float> v_depth = noise(pixels), v_weights = noise(3 * pixels);
    for (int given = 1; given < 4; ++given) {
        const float *d = given & 1 ? v_depth.data() : nullptr, *w = given & 2 ? v_weights.data() : nullptr;
        std::vector<float> cpu(q.size(), 7), gpu(q.size(), 7);
        mesh_rasterize_backward(view, starts.data(), grouped.data(), d, w, cpu.data());
        gpu::mesh_rasterize_backward(view, gpu_ids.data(), d, w, gpu.data(), nullptr);
        compare("gradient of vertices", gpu, cpu, 1e-4);
    }

    const std::vector<float> v_out = noise(channels * pixels);
    for (const bool shared : {true, false}) {
        const int64_t rows = shared ? vertices : 3 * faces;
        const std::vector<float> attributes = noise(rows * channels);
        const InterpolateArgs<float> args = {pixels, faces, rows, channels, shared ? index.data() : nullptr, attributes.data(), cpu_ids.data(), cpu_weights.data()};
        std::vector<float> cpu(size_t(channels * pixels), 7), gpu = cpu, cpu_rows(attributes.size(), 7), gpu_rows = cpu_rows;
        std::vector<float> cpu_v(size_t(3 * pixels), 7), gpu_v = cpu_v;
        interpolate(args, cpu.data());
        gpu::interpolate(args, gpu.data(), nullptr);
        compare("attributes", gpu, cpu, 1e-6);
        interpolate_backward(args, starts.data(), grouped.data(), v_out.data(), cpu_rows.data(), cpu_v.data());
        gpu::interpolate_backward(args, v_out.data(), gpu_rows.data(), gpu_v.data(), nullptr);
        compare("gradient of attributes", gpu_rows, cpu_rows, 1e-5);
        compare("gradient of barycentrics", gpu_v, cpu_v, 1e-5);
    }

    std::vector<int32_t> opposite(index.size());
    opposite_vertices(index.data(), faces, vertices, opposite.data());
    const AntialiasArgs<float> edges = {view, cpu_ids.data(), cpu_depth.data(), opposite.data()};
    std::vector<int64_t> rows(size_t(height + 1));
    std::vector<Silhouette> listed(static_cast<size_t>(find_silhouettes<float>(edges, rows.data(), nullptr))), found(size_t(2 * pixels));
    find_silhouettes(edges, rows.data(), listed.data());
    gpu::find_silhouettes(edges, found.data(), nullptr);
    int64_t there = 0;
    for (const Silhouette& s : found) there += s.a >= 0;
    check::is_true("silhouettes", int(there), there == int64_t(listed.size()) && there > height);
    const std::vector<float> image = noise(channels * pixels);
    std::vector<float> cpu = image, gpu = image, cpu_image = v_out, gpu_image = v_out, cpu_q(q.size(), 7), gpu_q(q.size(), 7);
    antialias(edges, listed.data(), there, image.data(), channels, cpu.data());
    gpu::antialias(view, found.data(), 2 * pixels, image.data(), channels, gpu.data(), nullptr);
    compare("antialiased", gpu, cpu, 1e-5);
    antialias_backward(edges, listed.data(), there, image.data(), channels, v_out.data(), cpu_image.data(), cpu_q.data());
    gpu::antialias_backward(view, found.data(), 2 * pixels, image.data(), channels, v_out.data(), gpu_image.data(), gpu_q.data(), nullptr);
    compare("gradient of the image", gpu_image, cpu_image, 1e-5);
    compare("gradient of silhouettes", gpu_q, cpu_q, 1e-4);
}

}  // namespace

int main() {
    test_mesh();
    return check::summary();
}
