// Every GPU kernel, run by the emulator, against the CPU driver: all families, all outputs, all gradients. The two read the
// same headers, so this is about what differs: lists of instances, culling by warps, sums over warps, capacities.
#include <cmath>
#include <random>
#include <vector>

#include "../random_scene.h"
#include "compare.h"
#include "cpu/thread_pool.h"
#include "gpu/adam.h"
#include "gpu/bin.h"
#include "gpu/image_loss.h"
#include "gpu/project.h"
#include "gpu/raster.h"
#include "gpu/stereo.h"
#include "recon/families.h"

using namespace recon;

namespace {

struct Case {
    int64_t count;
    int width, height, features;
    bool depth, normal, extra;
    int64_t capacity;  // 0: as many as there are
};

struct Frame {
    std::vector<float> image, transmittance, median, v_sh, v_features, v_camera, v_probe;
    std::vector<int32_t> last, place, radii;
    std::vector<std::vector<float>> v_parameters;
    int64_t instances = 0;
};

struct Inputs {
    std::vector<std::vector<float>> parameters;
    std::vector<float> sh, extra, background, v_image, v_alpha, v_median;
    float w[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1};
    float K[9];
    ProjectArgs<float> p;

    Inputs(const Case& c, const FamilyKernels<float>& info, int points, unsigned seed) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        const auto fill = [&](size_t n, float scale) {
            std::vector<float> v(n);
            for (float& x : v) x = scale * normal(random);
            return v;
        };
        const size_t n = size_t(c.count), pixels = size_t(c.width) * size_t(c.height);
        parameters = parameters_of(info, n, points, random);
        sh = fill(n * 48, 0.25f), extra = fill(n * size_t(c.features), 1);
        const float k[9] = {float(c.width), 0, c.width * 0.45f, 0, float(c.width), c.height * 0.55f, 0, 0, 1};
        std::copy(k, k + 9, K);
        p.count = c.count, p.width = c.width, p.height = c.height, p.points = points, p.sh_degree = 3, p.sh_coefficients = 16;
        p.features = c.features, p.depth = c.depth, p.normal = c.normal;
        p.near_plane = 0.01f, p.far_plane = 1e10f, p.eps2d = 0.3f;
        for (size_t i = 0; i < parameters.size(); ++i) p.parameters[i] = parameters[i].data();
        p.sh_coeffs = sh.data(), p.feature_values = extra.data(), p.world_to_camera = w, p.K = K;
        const size_t channels = size_t(p.channels());
        background = fill(channels, 0.5f), v_image = fill(channels * pixels, 1), v_alpha = fill(pixels, 1), v_median = fill(pixels, 1);
    }

    RasterArgs<float> raster(Frame& f, bool extra_sums) {
        RasterArgs<float> r;
        r.width = p.width, r.height = p.height;
        r.tiles_x = (p.width + kTile - 1) / kTile, r.tiles_y = (p.height + kTile - 1) / kTile;
        r.channels = p.channels(), r.depth = p.depth, r.extra = extra_sums, r.alpha_max = 0.999f;
        const size_t pixels = size_t(p.width) * size_t(p.height);
        f.image.resize(size_t(r.channels) * pixels), f.transmittance.resize(pixels), f.last.resize(pixels);
        if (extra_sums) f.median.resize(pixels), f.place.resize(pixels);
        r.background = background.data(), r.image = f.image.data(), r.transmittance = f.transmittance.data(), r.last = f.last.data();
        r.median_depth = extra_sums ? f.median.data() : nullptr, r.median_place = extra_sums ? f.place.data() : nullptr;
        r.v_image = v_image.data(), r.v_alpha = v_alpha.data(), r.v_median_depth = extra_sums ? v_median.data() : nullptr;
        return r;
    }

    ProjectBackwardArgs<float> gradients(Frame& f, bool extra_sums) {
        const size_t n = size_t(p.count);
        ProjectBackwardArgs<float> b;
        b.extra = extra_sums, b.probe = extra_sums ? kFullProbe : kProbe;
        for (const auto& parameter : parameters) f.v_parameters.emplace_back(parameter.size(), 7.0f);
        for (size_t i = 0; i < parameters.size(); ++i) b.v_parameters[i] = f.v_parameters[i].data();
        f.v_sh.assign(n * 48, 7.0f), f.v_features.assign(n * size_t(p.features), 7.0f), f.v_camera.assign(16, 7.0f);
        f.v_probe.assign(n * size_t(b.probe), 7.0f);
        b.v_sh_coeffs = f.v_sh.data(), b.v_feature_values = f.v_features.data(), b.v_world_to_camera = f.v_camera.data();
        b.v_probe = f.v_probe.data();
        return b;
    }
};

Frame on_cpu(const Case& c, Inputs& in, const FamilyKernels<float>& kernels) {
    Frame f;
    ProjectArgs<float> p = in.p;
    const size_t n = size_t(c.count), channels = size_t(p.channels());
    std::vector<float> records(n * size_t(kernels.record_width)), values(n * channels), boxes(4 * n);
    f.radii.resize(n);
    p.records = records.data(), p.channel_values = values.data(), p.boxes = boxes.data(), p.radii = f.radii.data();
    kernels.project_forward(p);
    RasterArgs<float> r = in.raster(f, c.extra);
    BinArgs<float> b;
    b.count = c.count, b.width = c.width, b.height = c.height, b.tiles_x = r.tiles_x, b.tiles_y = r.tiles_y;
    const size_t tiles = size_t(b.tiles_x) * size_t(b.tiles_y);
    std::vector<int32_t> order(n), slots(n + 1), offsets(tiles + 1), histogram(kBinChunks * tiles);
    b.records = records.data(), b.boxes = boxes.data(), b.order = order.data(), b.slot_offsets = slots.data();
    b.tile_offsets = offsets.data(), b.histogram = histogram.data();
    const int64_t visible = kernels.bin_count(b, &f.instances);
    std::vector<int32_t> instances(2 * size_t(f.instances));
    b.instances = instances.data();
    kernels.bin_fill(b, visible);
    r.records = records.data(), r.channel_values = values.data(), r.tile_offsets = offsets.data(), r.instances = instances.data();
    kernels.rasterize_forward(r);
    std::vector<float> moments(size_t(f.instances) * (size_t(kernels.moment_width) + kExtraMoments + channels));
    r.moments = moments.data();
    kernels.rasterize_backward(r);
    ProjectBackwardArgs<float> g = in.gradients(f, c.extra);
    g.slot_offsets = slots.data(), g.moments = moments.data();
    std::vector<float> partial(size_t(camera_partial_size(c.count)));
    kernels.project_backward(p, g, partial.data());
    return f;
}

template <class Family>
Frame on_gpu(const Case& c, Inputs& in) {
    Frame f;
    ProjectArgs<float> p = in.p;
    const size_t n = size_t(c.count), channels = size_t(p.channels());
    std::vector<float> records(n * Family::kRecord), values(n * channels), boxes(4 * n);
    f.radii.resize(n);
    p.records = records.data(), p.channel_values = values.data(), p.boxes = boxes.data(), p.radii = f.radii.data();
    gpu::project_forward<Family>(p, nullptr);
    GpuRasterArgs r;
    r.raster = in.raster(f, c.extra), r.count = c.count;
    const size_t tiles = size_t(r.raster.tiles_x) * size_t(r.raster.tiles_y);
    GpuBinArgs b;
    b.count = c.count, b.width = c.width, b.height = c.height, b.tiles_x = r.raster.tiles_x, b.tiles_y = r.raster.tiles_y;
    std::vector<uint32_t> depth_keys(2 * n), wide_keys;
    std::vector<uint16_t> tile_keys;
    std::vector<int32_t> order(2 * n), touched(n), instances, ranges(2 * tiles, 7);
    std::vector<int64_t> offsets(n);
    std::vector<uint8_t> seen(n), scratch(64);
    b.records = records.data(), b.boxes = boxes.data(), b.depth_keys = depth_keys.data(), b.order = order.data();
    b.tiles_touched = touched.data(), b.offsets = offsets.data(), b.tile_ranges = ranges.data(), b.seen = seen.data();
    b.scratch = scratch.data(), b.scratch_bytes = scratch.size();
    check::is_true("scratch is enough", 0, gpu::bin_scratch_bytes(b) <= scratch.size());
    gpu::bin_count<Family>(b, nullptr);
    f.instances = n ? offsets.back() : 0;
    b.capacity = c.capacity ? c.capacity : f.instances;
    tile_keys.resize(2 * size_t(b.capacity)), instances.resize(2 * size_t(b.capacity));
    b.tile_keys = tile_keys.data(), b.instances = instances.data();
    gpu::bin_fill<Family>(b, nullptr);
    if (n > 0 && b.capacity > 0) {  // the keys of images with very many tiles give the same lists
        std::vector<int32_t> wide_instances(instances.size()), wide_ranges(2 * tiles);
        wide_keys.resize(tile_keys.size());
        GpuBinArgs wide = b;
        wide.tile_keys = wide_keys.data(), wide.instances = wide_instances.data(), wide.tile_ranges = wide_ranges.data();
        gpu::fill_lists<Family, uint32_t>(wide, nullptr);
        check::is_true("lists by 32-bit keys", 0, wide_instances == instances && wide_ranges == ranges);
    }
    r.instances = instances.data() + b.capacity, r.tile_ranges = ranges.data();
    r.raster.records = records.data(), r.raster.channel_values = values.data();
    gpu::rasterize_forward<Family>(r, nullptr);
    std::vector<float> moments(n * (Family::kMoments + kExtraMoments + channels), 7.0f);
    r.raster.moments = moments.data();
    gpu::rasterize_backward<Family>(r, nullptr);
    ProjectBackwardArgs<float> g = in.gradients(f, c.extra);
    g.moments = moments.data();
    double camera_total[kCameraSums];
    gpu::project_backward<Family>(p, g, seen.data(), camera_total, nullptr);
    return f;
}

template <class Family>
void test_family(int index) {
    set_simd_level(0);
    const FamilyKernels<float>& info = *kernels_f32().families[index];
    const int points = Family::width(0) > 9 ? Family::width(0) / 3 : 0;
    const Case cases[] = {
        {60, 37, 29, 0, false, false, false, 0},   {60, 37, 29, 2, true, true, true, 0},   {90, 40, 33, 9, true, false, false, 0},
        {50, 33, 20, 25, true, true, true, 0},     {1, 1, 1, 0, false, false, false, 0},   {0, 20, 20, 1, true, true, true, 0},
        {60, 37, 29, 0, false, false, false, 5000},
    };
    for (const Case& c : cases) {
        // A family whose depth varies needs the extra sums for the depth's gradient, as the operator knows.
        Case mine = c;
        mine.extra = c.extra || (Family::kPixelDepth && c.depth);
        Inputs in(mine, info, points, 11);
        const Frame found = on_gpu<Family>(mine, in), wanted = on_cpu(mine, in, info);
        check::is_true("as many instances", index, found.instances == wanted.instances);
        check::is_true("radii", index, found.radii == wanted.radii);
        compare(Family::kName, found.image, wanted.image, 2e-4);
        compare("transmittance", found.transmittance, wanted.transmittance, 2e-4);
        compare("median depth", found.median, wanted.median, 2e-4);
        for (size_t k = 0; k < found.v_parameters.size(); ++k) compare("v_parameters", found.v_parameters[k], wanted.v_parameters[k], 5e-3);
        compare("v_sh", found.v_sh, wanted.v_sh, 1e-3);
        compare("v_features", found.v_features, wanted.v_features, 1e-3);
        compare("v_camera", found.v_camera, wanted.v_camera, 5e-3);
        compare("v_probe", found.v_probe, wanted.v_probe, 5e-3);
    }
    // Too small a buffer loses instances, says how many there are, and touches nothing beyond it.
    const Case small = {60, 37, 29, 0, false, false, false, 20};
    Inputs in(small, info, points, 11);
    const Frame found = on_gpu<Family>(small, in);
    check::is_true("the true number is known", index, found.instances > 20);
}

void test_adam() {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    const int64_t rows = 301;
    for (int64_t columns : {1, 3, 48}) {
        std::vector<std::vector<float>> cpu(3), gpu;
        for (auto& values : cpu)
            for (int64_t i = 0; i < rows * columns; ++i) values.push_back(std::fabs(normal(random)));
        gpu = cpu;
        std::vector<float> gradient;
        std::vector<uint8_t> visible;
        for (int64_t i = 0; i < rows * columns; ++i) gradient.push_back(normal(random));
        for (int64_t i = 0; i < rows; ++i) visible.push_back(random() % 3 > 0);
        const auto args = [&](std::vector<std::vector<float>>& on) {
            AdamArgs<float> a;
            a.rows = rows, a.columns = columns, a.head = columns == 48 ? 3 : 0, a.learning_rate = 1e-2f, a.head_rate = 0.2f;
            a.beta1 = 0.9f, a.beta2 = 0.999f, a.epsilon = 1e-15f, a.correction1 = 0.271f, a.correction2 = 0.003f;
            a.parameter = on[0].data(), a.gradient = gradient.data(), a.exp_avg = on[1].data(), a.exp_avg_sq = on[2].data();
            a.visible = visible.data();
            return a;
        };
        kernels_f32().adam(args(cpu));
        gpu::adam(args(gpu), nullptr);
        for (int k = 0; k < 3; ++k) compare("adam", gpu[size_t(k)], cpu[size_t(k)], 1e-6);
    }
}

void test_image_loss() {
    std::mt19937 random(4);
    std::uniform_real_distribution<float> uniform;
    const int sizes[][3] = {{3, 37, 50}, {1, 1, 1}, {2, 16, 33}};
    for (const auto& [channels, height, width] : sizes)
        for (bool weighted : {false, true}) {
            const size_t pixels = size_t(height) * size_t(width), all = size_t(channels) * pixels;
            std::vector<float> image, target, weight, scratch(3 * all), rows(size_t(channels) * size_t(height) * 3);
            for (size_t i = 0; i < all; ++i) image.push_back(uniform(random)), target.push_back(uniform(random));
            for (size_t i = 0; i < pixels; ++i) weight.push_back(i % 5 ? uniform(random) : 0.0f);
            std::vector<float> cpu(all), gpu(all, 7.0f), value(3);
            ImageLossArgs<float> a;
            a.channels = channels, a.height = height, a.width = width, a.ssim_weight = 0.2f, a.image = image.data();
            a.target = target.data(), a.weight = weighted ? weight.data() : nullptr, a.scratch = scratch.data(), a.rows = rows.data();
            double wanted[3], total[gpu::kLossSums];
            a.v_image = cpu.data();
            kernels_f32().image_loss(a, wanted);
            a.v_image = gpu.data();
            gpu::image_loss(a, total, value.data(), nullptr);
            compare("image loss", value, {wanted, wanted + 3}, 1e-5);
            compare("its gradient", gpu, cpu, 1e-4);
        }
}

// A textured photo and two others beside it; planes near the truth. A sweep keeps whichever plane costs less, so a cost that rounds
// differently may keep another plane: costs agree everywhere, planes nearly everywhere.
void test_stereo() {
    std::mt19937 random(5);
    std::uniform_real_distribution<float> uniform;
    const int width = 41, height = 23, margin = kStereoMargin;
    const int64_t stride = width + 2 * margin + 16, map = (height + 2 * margin) * stride;
    const auto wave = [](float x, float y) { return 128 + 60 * std::sin(0.9f * x) * std::cos(0.7f * y) + 40 * std::sin(0.31f * x + 0.53f * y); };
    std::vector<float> image(static_cast<size_t>(map)), planes(size_t(3 * map)), noise(size_t(3 * map)), depth(size_t(width * height), 0.5f);
    for (int64_t i = 0; i < map; ++i) image[size_t(i)] = wave(float(i % stride - margin), float(i / stride - margin));
    for (size_t i = 0; i < planes.size(); ++i)
        planes[i] = i < size_t(map) ? 0.45f + 0.1f * uniform(random) : 2e-3f * (uniform(random) - 0.5f), noise[i] = 2 * uniform(random) - 1;
    std::vector<uint32_t> quads[2];
    for (int s = 0; s < 2; ++s)  // what is at inverse depth 0.5 moves by 2 px to either side
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                uint32_t word = 0;
                for (int k = 0; k < 4; ++k) word |= uint32_t(wave(float(x + (k & 1)) + (s ? 2.0f : -2.0f), float(y + k / 2))) << 8 * k;
                quads[s].push_back(word);
            }
    const auto args = [&](const float* cost, std::vector<float>& found, std::vector<float>& lowest) {
        StereoArgs<float> a;
        a.width = width, a.height = height, a.stride = stride, a.fx = a.fy = 40, a.cx = 20, a.cy = 11;
        a.image = image.data(), a.planes = planes.data(), a.cost = cost, a.noise = noise.data();
        a.planes_out = found.data(), a.cost_out = lowest.data(), a.smallest = 0.1f, a.largest = 2, a.shake = 0.1f, a.color_sigma = 30;
        a.geometric_weight = 0.3f, a.radius = 3, a.step = 2, a.best = 2, a.source_count = 2;
        for (int s = 0; s < 2; ++s) {
            StereoSource<float>& source = a.sources[s];
            source.width = width, source.height = height, source.quads = quads[s].data(), source.inverse_depth = s ? depth.data() : nullptr;
            const float K[9] = {40, 0, 20, 0, 40, 11, 0, 0, 1}, one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
            for (int k = 0; k < 9; ++k) source.from_ray[k] = K[k], source.to_reference[k] = one[k];
            for (int k = 0; k < 3; ++k) source.from_center[k] = source.to_center[k] = 0;
            source.from_center[0] = s ? -4.0f : 4.0f, source.to_center[0] = -source.from_center[0];
        }
        return a;
    };
    std::vector<float> start(image.size(), 1e6f), same = planes;
    kernels_f32().stereo_sweep(args(nullptr, same, start));
    for (const float* cost : {static_cast<const float*>(nullptr), static_cast<const float*>(start.data())}) {
        std::vector<float> cpu_planes = planes, gpu_planes = planes, cpu_cost(image.size()), gpu_cost(image.size());
        kernels_f32().stereo_sweep(args(cost, cpu_planes, cpu_cost));
        gpu::stereo_sweep(args(cost, gpu_planes, gpu_cost), nullptr);
        compare("costs of planes", gpu_cost, cpu_cost, 2e-3);
        int other = 0, better = 0;
        for (int64_t i = 0; i < map; ++i) other += std::fabs(gpu_planes[size_t(i)] - cpu_planes[size_t(i)]) > 1e-4f;
        for (int64_t i = 0; i < map; ++i) better += cost && start[size_t(i)] < 1e5f && gpu_cost[size_t(i)] < start[size_t(i)] - 1e-3f;
        check::near("share of other planes", 0, double(other) / (width * height), 0, 0.02);
        if (cost) check::near("share of planes that got better", 0, double(better) / (width * height), 1, 0.4);
    }
}

}  // namespace

int main() {
    int index = 0;
    test_adam();
    test_image_loss();
    test_stereo();
#define RECON_TEST(name, type) test_family<type>(index++);
    RECON_FAMILIES(RECON_TEST)
    return check::summary();
}
