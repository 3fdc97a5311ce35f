// The kernels that extract surfaces, run by the emulator, against the CPU driver: the same cases, numbers and faces, the same
// vertices up to rounding, and the same gradients.
#include <vector>

#include "../random_field.h"
#include "compare.h"
#include "cpu/flexicubes.h"
#include "gpu/flexicubes.h"

using namespace recon;

namespace {

void test(bool training, bool weights) {
    RandomField<float> field(3);
    FlexiCubesArgs<float> cpu = field.args;
    cpu.training = training;
    if (!weights) cpu.offsets = cpu.alpha = cpu.beta = cpu.gamma = nullptr;
    FlexiCubesArgs<float> gpu = cpu;
    const size_t voxels = size_t(cpu.voxels);
    std::vector<uint8_t> cases(voxels), raw(voxels), scratch(64);
    std::vector<int32_t> first(voxels), counts(voxels);
    std::vector<int64_t> quad_starts(voxels + 1, 7), sums(voxels);
    gpu.cases = cases.data(), gpu.first_vertex = first.data(), gpu.quad_starts = quad_starts.data();

    const SurfaceSize size = flexicubes_count(cpu);
    check::is_true("scratch is enough", 0, gpu::cube_scratch_bytes(cpu.voxels) <= scratch.size());
    gpu::flexicubes_count(gpu, raw.data(), counts.data(), sums.data(), scratch.data(), scratch.size(), nullptr);
    check::is_true("numbers", 0, size.duals > 300 && sums.back() == size.duals && quad_starts.back() == size.quads);
    check::is_true("cases", 0, cases == field.cases);
    check::is_true("some cases are not as they were", 0, raw != cases);
    check::is_true("first vertices", 0, first == field.first);

    const size_t vertices = size_t(3 * (size.duals + (training ? size.quads : 0))), corners = field.sdf.size();
    std::vector<float> cpu_vertices(vertices), gpu_vertices(vertices, 7), cpu_deviation(size_t(size.duals)), gpu_deviation(size_t(size.duals), 7);
    std::vector<int32_t> cpu_faces(size_t(size.quads * (training ? 12 : 6))), gpu_faces(cpu_faces.size(), 7);
    flexicubes_fill(cpu, size, cpu_vertices.data(), cpu_faces.data(), cpu_deviation.data());
    gpu::flexicubes_fill(gpu, size.duals, gpu_vertices.data(), gpu_faces.data(), gpu_deviation.data(), nullptr);
    check::is_true("faces", 0, gpu_faces == cpu_faces);
    compare("vertices", gpu_vertices, cpu_vertices, 1e-6);
    compare("deviation", gpu_deviation, cpu_deviation, 1e-5);

    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::vector<float> v_vertices(vertices), v_deviation(size_t(size.duals));
    for (float& v : v_vertices) v = normal(random);
    for (float& v : v_deviation) v = normal(random);
    const auto gradients = [&](const std::vector<float>& at, std::vector<std::vector<float>>& out) {
        const size_t sizes[5] = {corners, 3 * corners, 8 * voxels, 12 * voxels, voxels};
        for (const size_t n : sizes) out.emplace_back(n);
        FlexiCubesGradient<float> g = {at.data(), v_vertices.data(), v_deviation.data(), out[0].data()};
        if (weights) g.v_offsets = out[1].data(), g.v_alpha = out[2].data(), g.v_beta = out[3].data(), g.v_gamma = out[4].data();
        return g;
    };
    std::vector<std::vector<float>> cpu_out, gpu_out;
    flexicubes_backward(cpu, size, gradients(cpu_vertices, cpu_out));
    std::vector<float> v_dual(v_vertices.begin(), v_vertices.begin() + 3 * size.duals);
    gpu::flexicubes_backward(gpu, gradients(gpu_vertices, gpu_out), size.duals, v_dual.data(), nullptr);
    const char* names[5] = {"gradient of values", "of offsets", "of alpha", "of beta", "of gamma"};
    for (size_t i = 0; i < 5; ++i) compare(names[i], gpu_out[i], cpu_out[i], 1e-4);
}

}  // namespace

int main() {
    for (const bool training : {true, false})
        for (const bool weights : {true, false}) test(training, weights);
    return check::summary();
}
