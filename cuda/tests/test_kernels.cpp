// Whole passes of the CPU driver on random scenes, for the sanitizers: every pointer is a buffer of exactly the size that
// raster_args.h states, so any access beyond it is caught. Results are compared across instruction sets and threads.
#include <cstdint>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "random_scene.h"

using namespace recon;

namespace {

struct Result {
    std::vector<float> image, v_places, v_sh;
    int64_t instances = 0;
};

Result run(const Kernels<float>& kernels, int family_index, int points, int64_t count, int width, int height, int features, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto fill = [&](size_t n, float scale, float offset) {
        std::vector<float> v(n);
        for (float& x : v) x = offset + scale * normal(random);
        return v;
    };
    const size_t n = size_t(count), pixels = size_t(width) * size_t(height);
    const FamilyKernels<float>& family = *kernels.families[family_index];
    const std::vector<std::vector<float>> parameters = parameters_of(family, n, points, random);
    const std::vector<float> sh = fill(n * 16 * 3, 0.25f, 0), extra = fill(n * size_t(features), 1, 0);
    const float w[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1};
    const float K[9] = {float(width), 0, width * 0.45f, 0, float(width), height * 0.55f, 0, 0, 1};

    ProjectArgs<float> p;
    p.count = count, p.width = width, p.height = height, p.sh_degree = 3, p.sh_coefficients = 16, p.features = features;
    p.depth = p.normal = p.antialias = true, p.points = points;
    p.near_plane = 0.01f, p.far_plane = 1e10f, p.eps2d = 0.3f;
    for (size_t k = 0; k < parameters.size(); ++k) p.parameters[k] = parameters[k].data();
    p.sh_coeffs = sh.data(), p.feature_values = extra.data(), p.world_to_camera = w, p.K = K;
    const size_t channels = size_t(p.channels());
    std::vector<float> records(n * size_t(family.record_width)), values(n * channels), boxes(4 * n);
    std::vector<int32_t> radii(n);
    p.records = records.data(), p.channel_values = values.data(), p.boxes = boxes.data(), p.radii = radii.data();
    family.project_forward(p);

    BinArgs<float> b;
    b.count = count, b.width = width, b.height = height;
    b.tiles_x = (width + kTile - 1) / kTile, b.tiles_y = (height + kTile - 1) / kTile;
    const size_t tiles = size_t(b.tiles_x) * size_t(b.tiles_y);
    std::vector<int32_t> order(n), slots(n + 1), offsets(tiles + 1), histogram(kBinChunks * tiles);
    b.records = records.data(), b.boxes = boxes.data(), b.order = order.data(), b.slot_offsets = slots.data();
    b.tile_offsets = offsets.data(), b.histogram = histogram.data();
    Result result;
    const int64_t visible = family.bin_count(b, &result.instances);
    std::vector<int32_t> instances(2 * size_t(result.instances));
    b.instances = instances.data();
    family.bin_fill(b, visible);

    RasterArgs<float> r;
    r.width = width, r.height = height, r.tiles_x = b.tiles_x, r.tiles_y = b.tiles_y, r.channels = int(channels);
    r.depth = true, r.alpha_max = 0.999f, r.records = records.data(), r.channel_values = values.data();
    r.tile_offsets = offsets.data(), r.instances = instances.data();
    std::vector<float> background(channels, 0.3f), transmittance(pixels), median(pixels);
    std::vector<int32_t> last(pixels), place(pixels);
    result.image.resize(channels * pixels);
    r.background = background.data(), r.image = result.image.data(), r.transmittance = transmittance.data();
    r.last = last.data(), r.median_depth = median.data(), r.median_place = place.data();
    family.rasterize_forward(r);

    const size_t moment_width = size_t(family.moment_width) + kExtraMoments + channels;
    std::vector<float> moments(size_t(result.instances) * moment_width);
    r.v_image = result.image.data(), r.v_alpha = transmittance.data(), r.v_median_depth = median.data();
    r.extra = true, r.moments = moments.data();
    family.rasterize_backward(r);

    ProjectBackwardArgs<float> g;
    std::vector<std::vector<float>> v_parameters;
    for (const std::vector<float>& parameter : parameters) v_parameters.emplace_back(parameter.size());
    for (size_t k = 0; k < parameters.size(); ++k) g.v_parameters[k] = v_parameters[k].data();
    std::vector<float> v_extra(n * size_t(features)), v_w(16), v_probe(kFullProbe * n), partial(size_t(camera_partial_size(count)));
    result.v_sh.resize(n * 48);
    g.slot_offsets = slots.data(), g.moments = moments.data(), g.extra = true, g.probe = kFullProbe;
    g.v_sh_coeffs = result.v_sh.data(), g.v_feature_values = v_extra.data(), g.v_world_to_camera = v_w.data();
    g.v_probe = v_probe.data();
    family.project_backward(p, g, partial.data());

    result.v_places = v_parameters[0];

    const size_t columns = n ? parameters[0].size() / n : 3;
    std::vector<float> first(n * columns, 0), second(n * columns, 0), parameter = parameters[0];
    std::vector<uint8_t> seen(n);
    for (size_t i = 0; i < n; ++i) seen[i] = radii[i] > 0;
    AdamArgs<float> adam;
    adam.rows = count, adam.columns = int64_t(columns), adam.learning_rate = 0.01f, adam.beta1 = 0.9f, adam.beta2 = 0.999f;
    adam.epsilon = 1e-15f, adam.correction1 = 0.1f, adam.correction2 = 0.001f;
    adam.parameter = parameter.data(), adam.gradient = result.v_places.data(), adam.exp_avg = first.data();
    adam.exp_avg_sq = second.data(), adam.visible = seen.data();
    kernels.adam(adam);

    std::vector<float> v_image(3 * pixels), scratch(9 * pixels), rows(3 * size_t(height) * 3), target(3 * pixels, 0.5f);
    ImageLossArgs<float> loss;
    loss.channels = 3, loss.height = height, loss.width = width, loss.ssim_weight = 0.2f, loss.image = result.image.data();
    loss.target = target.data(), loss.weight = transmittance.data(), loss.v_image = v_image.data();
    loss.scratch = scratch.data(), loss.rows = rows.data();
    double sums[3];
    kernels.image_loss(loss, sums);
    check::is_true("loss is finite", int(seed), std::isfinite(sums[0]) && sums[0] > 0);
    return result;
}

void compare(const char* what, const std::vector<float>& a, const std::vector<float>& b, double tolerance) {
    double largest = 1e-12, worst = 0;
    for (float x : b) largest = std::fmax(largest, std::fabs(x));
    for (size_t i = 0; i < a.size(); ++i) worst = std::fmax(worst, std::fabs(double(a[i]) - double(b[i])));
    check::near(what, 0, worst / largest, 0, tolerance);
}

}  // namespace

int main() {
    const struct {
        int64_t count;
        int width, height, features;
    } cases[] = {{1, 1, 1, 0}, {17, 5, 3, 1}, {100, 37, 29, 2}, {700, 64, 48, 25}, {0, 20, 20, 0}};
    for (int family = 0; family < family_count(); ++family) {
        const FamilyKernels<float>& info = *kernels_f32().families[family];
        const int points = info.widths[0] > 9 ? info.widths[0] / 3 : 0;
        for (const auto& c : cases) {
            Result first;
            for (int level = 0; level < simd_level_count(); ++level) {
                set_simd_level(level);
                set_num_threads(1);
                const Result one = run(kernels_f32(), family, points, c.count, c.width, c.height, c.features, 7);
                set_num_threads(3);
                const Result three = run(kernels_f32(), family, points, c.count, c.width, c.height, c.features, 7);
                check::is_true("threads do not matter", level,
                               one.image == three.image && one.v_places == three.v_places && one.v_sh == three.v_sh);
                if (level == 0) first = one;
                // A pixel whose alpha is within rounding of the cut-off may differ by 1/255 of a channel.
                compare(info.name, one.image, first.image, 5e-3);
                compare(info.name, one.v_places, first.v_places, 2e-2);
            }
        }
    }
    return check::summary();
}
