// Python module `recon._core`: pointers in, nothing owned. The callers in recon/render allocate and check shapes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "recon/gaussian.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using Pointer = uintptr_t;  // Tensor.data_ptr(); 0 for none

template <class T>
T* at(Pointer p) {
    return reinterpret_cast<T*>(p);
}

template <class Real>
void bind(nb::module_& m, const recon::Kernels<Real>& (*kernels)()) {
    using namespace recon;

    nb::class_<ProjectArgs<Real>>(m, "ProjectArgs")
        .def(
            "__init__",
            [](ProjectArgs<Real>* self, int64_t count, int width, int height, int sh_degree, int sh_coefficients, int features,
               bool depth, bool normal, bool antialias, Real near_plane, Real far_plane, Real eps2d, Pointer means,
               Pointer quats, Pointer log_scales, Pointer opacity_logits, Pointer sh_coeffs, Pointer feature_values,
               Pointer world_to_camera, Pointer K, Pointer geometry, Pointer channel_values, Pointer half_extents,
               Pointer radii) {
                new (self) ProjectArgs<Real>();
                self->count = count, self->width = width, self->height = height;
                self->sh_degree = sh_degree, self->sh_coefficients = sh_coefficients, self->features = features;
                self->depth = depth, self->normal = normal, self->antialias = antialias;
                self->near_plane = near_plane, self->far_plane = far_plane, self->eps2d = eps2d;
                self->means = at<Real>(means), self->quats = at<Real>(quats), self->log_scales = at<Real>(log_scales);
                self->opacity_logits = at<Real>(opacity_logits), self->sh_coeffs = at<Real>(sh_coeffs);
                self->feature_values = at<Real>(feature_values), self->world_to_camera = at<Real>(world_to_camera);
                self->K = at<Real>(K), self->geometry = at<Real>(geometry), self->channel_values = at<Real>(channel_values);
                self->half_extents = at<Real>(half_extents), self->radii = at<int32_t>(radii);
            },
            nb::kw_only(), "count"_a, "width"_a, "height"_a, "sh_degree"_a, "sh_coefficients"_a, "features"_a, "depth"_a,
            "normal"_a, "antialias"_a, "near_plane"_a, "far_plane"_a, "eps2d"_a, "means"_a, "quats"_a, "log_scales"_a,
            "opacity_logits"_a, "sh_coeffs"_a, "feature_values"_a, "world_to_camera"_a, "K"_a, "geometry"_a,
            "channel_values"_a, "half_extents"_a = 0, "radii"_a = 0);

    m.def(
        "project_forward",
        [kernels](const ProjectArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            kernels().project_forward(args);
        },
        "args"_a);

    m.def(
        "project_backward",
        [kernels](const ProjectArgs<Real>& args, Pointer slot_offsets, Pointer moments, Pointer v_means, Pointer v_quats,
                  Pointer v_log_scales, Pointer v_opacity_logits, Pointer v_sh_coeffs, Pointer v_feature_values,
                  Pointer v_world_to_camera, Pointer v_probe) {
            nb::gil_scoped_release unlocked;
            ProjectBackwardArgs<Real> b;
            b.slot_offsets = at<int32_t>(slot_offsets), b.moments = at<Real>(moments);
            b.v_means = at<Real>(v_means), b.v_quats = at<Real>(v_quats), b.v_log_scales = at<Real>(v_log_scales);
            b.v_opacity_logits = at<Real>(v_opacity_logits), b.v_sh_coeffs = at<Real>(v_sh_coeffs);
            b.v_feature_values = at<Real>(v_feature_values), b.v_world_to_camera = at<Real>(v_world_to_camera);
            b.v_probe = at<Real>(v_probe);
            std::vector<Real> partial(size_t(camera_partial_size(args.count)));
            kernels().project_backward(args, b, partial.data());
        },
        "args"_a, nb::kw_only(), "slot_offsets"_a, "moments"_a, "v_means"_a, "v_quats"_a, "v_log_scales"_a,
        "v_opacity_logits"_a, "v_sh_coeffs"_a, "v_feature_values"_a, "v_world_to_camera"_a, "v_probe"_a);

    nb::class_<BinArgs<Real>>(m, "BinArgs")
        .def(
            "__init__",
            [](BinArgs<Real>* self, int64_t count, int width, int height, int tiles_x, int tiles_y, Pointer geometry,
               Pointer half_extents, Pointer order, Pointer slot_offsets, Pointer tile_offsets, Pointer histogram) {
                new (self) BinArgs<Real>();
                self->count = count, self->width = width, self->height = height;
                self->tiles_x = tiles_x, self->tiles_y = tiles_y;
                self->geometry = at<Real>(geometry), self->half_extents = at<Real>(half_extents);
                self->order = at<int32_t>(order), self->slot_offsets = at<int32_t>(slot_offsets);
                self->tile_offsets = at<int32_t>(tile_offsets), self->histogram = at<int32_t>(histogram);
            },
            nb::kw_only(), "count"_a, "width"_a, "height"_a, "tiles_x"_a, "tiles_y"_a, "geometry"_a, "half_extents"_a,
            "order"_a, "slot_offsets"_a, "tile_offsets"_a, "histogram"_a);

    m.def(
        "bin_count",
        [kernels](const BinArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            int64_t instances = 0;
            const int64_t visible = kernels().bin_count(args, &instances);
            if (instances >= (int64_t(1) << 31))
                throw std::runtime_error("the primitives cover " + std::to_string(instances) +
                                         " tiles in total, more than 2^31: render fewer or smaller ones, or a smaller image");
            return std::make_tuple(visible, instances);
        },
        "args"_a);

    m.def(
        "bin_fill",
        [kernels](BinArgs<Real>& args, int64_t visible, Pointer instances) {
            nb::gil_scoped_release unlocked;
            args.instances = at<int32_t>(instances);
            kernels().bin_fill(args, visible);
        },
        "args"_a, "visible"_a, "instances"_a);

    nb::class_<RasterArgs<Real>>(m, "RasterArgs")
        .def(
            "__init__",
            [](RasterArgs<Real>* self, int width, int height, int tiles_x, int tiles_y, int channels, Real alpha_max,
               Pointer geometry, Pointer channel_values, Pointer tile_offsets, Pointer instances, Pointer background,
               Pointer transmittance, Pointer last, Pointer median_place) {
                new (self) RasterArgs<Real>();
                self->width = width, self->height = height, self->tiles_x = tiles_x, self->tiles_y = tiles_y;
                self->channels = channels, self->alpha_max = alpha_max;
                self->geometry = at<Real>(geometry), self->channel_values = at<Real>(channel_values);
                self->tile_offsets = at<int32_t>(tile_offsets), self->instances = at<int32_t>(instances);
                self->background = at<Real>(background), self->transmittance = at<Real>(transmittance);
                self->last = at<int32_t>(last), self->median_place = at<int32_t>(median_place);
            },
            nb::kw_only(), "width"_a, "height"_a, "tiles_x"_a, "tiles_y"_a, "channels"_a, "alpha_max"_a, "geometry"_a,
            "channel_values"_a, "tile_offsets"_a, "instances"_a, "background"_a, "transmittance"_a, "last"_a,
            "median_place"_a);

    m.def(
        "rasterize_forward",
        [kernels](RasterArgs<Real>& args, Pointer image, Pointer median_depth) {
            nb::gil_scoped_release unlocked;
            args.image = at<Real>(image), args.median_depth = at<Real>(median_depth);
            args.median = median_depth != 0;
            kernels().rasterize_forward(args);
        },
        "args"_a, nb::kw_only(), "image"_a, "median_depth"_a);

    m.def(
        "rasterize_backward",
        [kernels](RasterArgs<Real>& args, Pointer v_image, Pointer v_alpha, Pointer v_median_depth, bool absolute,
                  Pointer moments) {
            nb::gil_scoped_release unlocked;
            args.v_image = at<Real>(v_image), args.v_alpha = at<Real>(v_alpha);
            args.v_median_depth = at<Real>(v_median_depth), args.absolute = absolute;
            args.moments = at<Real>(moments);
            kernels().rasterize_backward(args);
        },
        "args"_a, nb::kw_only(), "v_image"_a, "v_alpha"_a, "v_median_depth"_a, "absolute"_a, "moments"_a);

    m.def(
        "image_loss",
        [kernels](int channels, int height, int width, Real ssim_weight, Pointer image, Pointer target, Pointer weight,
                  Pointer v_image, Pointer scratch, Pointer rows) {
            nb::gil_scoped_release unlocked;
            ImageLossArgs<Real> a;
            a.channels = channels, a.height = height, a.width = width, a.ssim_weight = ssim_weight;
            a.image = at<Real>(image), a.target = at<Real>(target), a.weight = at<Real>(weight);
            a.v_image = at<Real>(v_image), a.scratch = at<Real>(scratch), a.rows = at<Real>(rows);
            double out[3];
            kernels().image_loss(a, out);
            return std::make_tuple(out[0], out[1], out[2]);
        },
        nb::kw_only(), "channels"_a, "height"_a, "width"_a, "ssim_weight"_a, "image"_a, "target"_a, "weight"_a, "v_image"_a,
        "scratch"_a, "rows"_a, "Loss, weighted mean |a - b|, weighted mean SSIM.");

    m.def(
        "adam",
        [kernels](int64_t rows, int64_t columns, Real learning_rate, Real beta1, Real beta2, Real epsilon, Real correction1,
                  Real correction2, Pointer parameter, Pointer gradient, Pointer exp_avg, Pointer exp_avg_sq, Pointer visible) {
            nb::gil_scoped_release unlocked;
            AdamArgs<Real> a;
            a.rows = rows, a.columns = columns, a.learning_rate = learning_rate, a.beta1 = beta1, a.beta2 = beta2;
            a.epsilon = epsilon, a.correction1 = correction1, a.correction2 = correction2;
            a.parameter = at<Real>(parameter), a.gradient = at<Real>(gradient), a.exp_avg = at<Real>(exp_avg);
            a.exp_avg_sq = at<Real>(exp_avg_sq), a.visible = at<uint8_t>(visible);
            kernels().adam(a);
        },
        nb::kw_only(), "rows"_a, "columns"_a, "learning_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "correction1"_a,
        "correction2"_a, "parameter"_a, "gradient"_a, "exp_avg"_a, "exp_avg_sq"_a, "visible"_a);
}

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "The performance core of recon: CPU kernels behind raw pointers. Use recon.render instead.";
    m.attr("TILE") = recon::kTile;
    m.attr("GEOMETRY_WIDTH") = recon::kGeometryWidth;
    m.attr("MOMENT_WIDTH") = recon::kMomentWidth;
    m.attr("MAX_CHANNELS") = recon::kMaxChannels;
    m.attr("BIN_CHUNKS") = recon::kBinChunks;
    m.attr("MIN_ALPHA") = recon::kMinAlpha;
    m.attr("MIN_TRANSMITTANCE") = recon::kMinTransmittance;
    m.attr("FRUSTUM_MARGIN") = recon::kFrustumMargin;
    m.attr("MIN_COMPENSATION") = recon::kMinCompensation;
    m.def("set_num_threads", &recon::set_num_threads, "threads"_a);
    m.def("num_threads", &recon::num_threads);
    m.def("simd_levels", [] {
        std::vector<std::string> names;
        for (int level = 0; level < recon::simd_level_count(); ++level) names.emplace_back(recon::simd_level_name(level));
        return names;
    });
    m.def("simd_level", [] { return std::string(recon::kernels_f32().name); });
    m.def(
        "set_simd_level",
        [](const std::string& name) {
            for (int level = 0; level < recon::simd_level_count(); ++level)
                if (name == recon::simd_level_name(level)) return recon::set_simd_level(level);
            throw std::invalid_argument("no SIMD level " + name + " on this machine");
        },
        "name"_a);
    auto f32 = m.def_submodule("f32", "float kernels");
    auto f64 = m.def_submodule("f64", "double kernels: slow, for checking derivatives");
    bind<float>(f32, recon::kernels_f32);
    bind<double>(f64, recon::kernels_f64);
}
