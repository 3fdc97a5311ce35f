// Python module `recon._core`: pointers in, nothing owned. The callers in recon/render allocate and check shapes.
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "bindings.h"
#include "cpu/kernels.h"
#include "cpu/thread_pool.h"
#include "recon/ellipse.h"
#include "recon/primitive.h"

namespace {

template <class T>
void copy_pointers(const std::vector<Pointer>& from, T* (&to)[recon::kMaxParameters]) {
    if (from.size() > recon::kMaxParameters)
        throw std::invalid_argument(std::to_string(from.size()) + " parameters, at most " + std::to_string(recon::kMaxParameters));
    for (size_t k = 0; k < from.size(); ++k) to[k] = at<T>(from[k]);
}

template <class Real>
void bind(nb::module_& m, const recon::Kernels<Real>& (*kernels)()) {
    using namespace recon;
    const auto family = [kernels](int index) -> const FamilyKernels<Real>& {
        if (index < 0 || index >= family_count()) throw std::out_of_range("no family " + std::to_string(index));
        return *kernels().families[index];
    };

    nb::class_<FamilyKernels<Real>>(m, "Family")
        .def_ro("name", &FamilyKernels<Real>::name)
        .def_ro("parameters", &FamilyKernels<Real>::parameters, "Number of parameter tensors.")
        .def_ro("record_width", &FamilyKernels<Real>::record_width)
        .def_ro("moment_width", &FamilyKernels<Real>::moment_width)
        .def_ro("pixel_depth", &FamilyKernels<Real>::pixel_depth, "Whether depth varies over a footprint.");
    m.def(
        "families",
        [kernels] {
            std::vector<const FamilyKernels<Real>*> all(kernels().families, kernels().families + family_count());
            return all;
        },
        nb::rv_policy::reference, "The families of the instruction set in use; do not keep them.");

    nb::class_<ProjectArgs<Real>>(m, "ProjectArgs")
        .def(
            "__init__",
            [](ProjectArgs<Real>* self, int64_t count, int width, int height, int points, int sh_degree, int sh_coefficients,
               int features, bool depth, bool normal, bool antialias, Real near_plane, Real far_plane, Real eps2d,
               const std::vector<Pointer>& parameters, Pointer sh_coeffs, Pointer feature_values, Pointer world_to_camera,
               Pointer K, Pointer records, Pointer channel_values, Pointer boxes, Pointer radii) {
                new (self) ProjectArgs<Real>();
                self->count = count, self->width = width, self->height = height, self->points = points;
                self->sh_degree = sh_degree, self->sh_coefficients = sh_coefficients, self->features = features;
                self->depth = depth, self->normal = normal, self->antialias = antialias;
                self->near_plane = near_plane, self->far_plane = far_plane, self->eps2d = eps2d;
                copy_pointers(parameters, self->parameters);
                self->sh_coeffs = at<Real>(sh_coeffs), self->feature_values = at<Real>(feature_values);
                self->world_to_camera = at<Real>(world_to_camera), self->K = at<Real>(K);
                self->records = at<Real>(records), self->channel_values = at<Real>(channel_values);
                self->boxes = at<Real>(boxes), self->radii = at<int32_t>(radii);
            },
            nb::kw_only(), "count"_a, "width"_a, "height"_a, "points"_a, "sh_degree"_a, "sh_coefficients"_a, "features"_a,
            "depth"_a, "normal"_a, "antialias"_a, "near_plane"_a, "far_plane"_a, "eps2d"_a, "parameters"_a, "sh_coeffs"_a,
            "feature_values"_a, "world_to_camera"_a, "K"_a, "records"_a = 0, "channel_values"_a = 0, "boxes"_a = 0,
            "radii"_a = 0);

    nb::class_<ProjectBackwardArgs<Real>>(m, "ProjectBackwardArgs")
        .def(
            "__init__",
            [](ProjectBackwardArgs<Real>* self, Pointer slot_offsets, Pointer moments, bool extra, int probe,
               const std::vector<Pointer>& v_parameters, Pointer v_sh_coeffs, Pointer v_feature_values,
               Pointer v_world_to_camera, Pointer v_probe) {
                new (self) ProjectBackwardArgs<Real>();
                self->slot_offsets = at<int32_t>(slot_offsets), self->moments = at<Real>(moments);
                self->extra = extra, self->probe = probe;
                copy_pointers(v_parameters, self->v_parameters);
                self->v_sh_coeffs = at<Real>(v_sh_coeffs), self->v_feature_values = at<Real>(v_feature_values);
                self->v_world_to_camera = at<Real>(v_world_to_camera), self->v_probe = at<Real>(v_probe);
            },
            nb::kw_only(), "slot_offsets"_a, "moments"_a, "extra"_a, "probe"_a, "v_parameters"_a, "v_sh_coeffs"_a,
            "v_feature_values"_a, "v_world_to_camera"_a, "v_probe"_a);

    m.def(
        "project_forward",
        [family](int index, const ProjectArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            family(index).project_forward(args);
        },
        "family"_a, "args"_a);

    m.def(
        "project_backward",
        [family](int index, const ProjectArgs<Real>& args, const ProjectBackwardArgs<Real>& gradients) {
            nb::gil_scoped_release unlocked;
            std::vector<Real> partial(size_t(camera_partial_size(args.count)));
            family(index).project_backward(args, gradients, partial.data());
        },
        "family"_a, "args"_a, "gradients"_a);

    nb::class_<BinArgs<Real>>(m, "BinArgs")
        .def(
            "__init__",
            [](BinArgs<Real>* self, int64_t count, int width, int height, int tiles_x, int tiles_y, Pointer records,
               Pointer boxes, Pointer order, Pointer slot_offsets, Pointer tile_offsets, Pointer histogram) {
                new (self) BinArgs<Real>();
                self->count = count, self->width = width, self->height = height;
                self->tiles_x = tiles_x, self->tiles_y = tiles_y;
                self->records = at<Real>(records), self->boxes = at<Real>(boxes);
                self->order = at<int32_t>(order), self->slot_offsets = at<int32_t>(slot_offsets);
                self->tile_offsets = at<int32_t>(tile_offsets), self->histogram = at<int32_t>(histogram);
            },
            nb::kw_only(), "count"_a, "width"_a, "height"_a, "tiles_x"_a, "tiles_y"_a, "records"_a, "boxes"_a,
            "order"_a, "slot_offsets"_a, "tile_offsets"_a, "histogram"_a);

    m.def(
        "bin_count",
        [family](int index, const BinArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            int64_t instances = 0;
            const int64_t visible = family(index).bin_count(args, &instances);
            if (instances >= (int64_t(1) << 31))
                throw std::runtime_error("the primitives cover " + std::to_string(instances) +
                                         " tiles in total, more than 2^31: render fewer or smaller ones, or a smaller image");
            return std::make_tuple(visible, instances);
        },
        "family"_a, "args"_a);

    m.def(
        "bin_fill",
        [family](int index, BinArgs<Real>& args, int64_t visible, Pointer instances) {
            nb::gil_scoped_release unlocked;
            args.instances = at<int32_t>(instances);
            family(index).bin_fill(args, visible);
        },
        "family"_a, "args"_a, "visible"_a, "instances"_a);

    nb::class_<RasterArgs<Real>>(m, "RasterArgs")
        .def(
            "__init__",
            [](RasterArgs<Real>* self, int width, int height, int tiles_x, int tiles_y, int channels, bool depth, Real alpha_max,
               Pointer records, Pointer channel_values, Pointer tile_offsets, Pointer instances, Pointer background,
               Pointer transmittance, Pointer last, Pointer median_place) {
                new (self) RasterArgs<Real>();
                self->width = width, self->height = height, self->tiles_x = tiles_x, self->tiles_y = tiles_y;
                self->channels = channels, self->depth = depth, self->alpha_max = alpha_max;
                self->records = at<Real>(records), self->channel_values = at<Real>(channel_values);
                self->tile_offsets = at<int32_t>(tile_offsets), self->instances = at<int32_t>(instances);
                self->background = at<Real>(background), self->transmittance = at<Real>(transmittance);
                self->last = at<int32_t>(last), self->median_place = at<int32_t>(median_place);
            },
            nb::kw_only(), "width"_a, "height"_a, "tiles_x"_a, "tiles_y"_a, "channels"_a, "depth"_a, "alpha_max"_a, "records"_a,
            "channel_values"_a, "tile_offsets"_a, "instances"_a, "background"_a, "transmittance"_a, "last"_a,
            "median_place"_a);

    m.def(
        "rasterize_forward",
        [family](int index, RasterArgs<Real>& args, Pointer image, Pointer median_depth) {
            nb::gil_scoped_release unlocked;
            args.image = at<Real>(image), args.median_depth = at<Real>(median_depth);
            family(index).rasterize_forward(args);
        },
        "family"_a, "args"_a, nb::kw_only(), "image"_a, "median_depth"_a);

    m.def(
        "rasterize_backward",
        [family](int index, RasterArgs<Real>& args, Pointer v_image, Pointer v_alpha, Pointer v_median_depth, bool extra,
                 Pointer moments) {
            nb::gil_scoped_release unlocked;
            args.v_image = at<Real>(v_image), args.v_alpha = at<Real>(v_alpha);
            args.v_median_depth = at<Real>(v_median_depth), args.extra = extra;
            args.moments = at<Real>(moments);
            family(index).rasterize_backward(args);
        },
        "family"_a, "args"_a, nb::kw_only(), "v_image"_a, "v_alpha"_a, "v_median_depth"_a, "extra"_a, "moments"_a);

    nb::class_<ImageLossArgs<Real>>(m, "ImageLossArgs")
        .def(
            "__init__",
            [](ImageLossArgs<Real>* self, int channels, int height, int width, Real ssim_weight, Pointer image, Pointer target,
               Pointer weight, Pointer v_image, Pointer scratch, Pointer rows) {
                new (self) ImageLossArgs<Real>();
                self->channels = channels, self->height = height, self->width = width, self->ssim_weight = ssim_weight;
                self->image = at<Real>(image), self->target = at<Real>(target), self->weight = at<Real>(weight);
                self->v_image = at<Real>(v_image), self->scratch = at<Real>(scratch), self->rows = at<Real>(rows);
            },
            nb::kw_only(), "channels"_a, "height"_a, "width"_a, "ssim_weight"_a, "image"_a, "target"_a, "weight"_a, "v_image"_a,
            "scratch"_a, "rows"_a);

    m.def(
        "image_loss",
        [kernels](const ImageLossArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            double out[3];
            kernels().image_loss(args, out);
            return std::make_tuple(out[0], out[1], out[2]);
        },
        "args"_a, "Loss, weighted mean |a - b|, weighted mean SSIM.");

    nb::class_<AdamArgs<Real>>(m, "AdamArgs")
        .def(
            "__init__",
            [](AdamArgs<Real>* self, int64_t rows, int64_t columns, int64_t head, Real learning_rate, Real head_rate, Real beta1,
               Real beta2, Real epsilon, Real correction1, Real correction2, Pointer parameter, Pointer gradient, Pointer exp_avg,
               Pointer exp_avg_sq, Pointer visible) {
                new (self) AdamArgs<Real>();
                self->rows = rows, self->columns = columns, self->head = head;
                self->learning_rate = learning_rate, self->head_rate = head_rate, self->beta1 = beta1, self->beta2 = beta2;
                self->epsilon = epsilon, self->correction1 = correction1, self->correction2 = correction2;
                self->parameter = at<Real>(parameter), self->gradient = at<Real>(gradient), self->exp_avg = at<Real>(exp_avg);
                self->exp_avg_sq = at<Real>(exp_avg_sq), self->visible = at<uint8_t>(visible);
            },
            nb::kw_only(), "rows"_a, "columns"_a, "head"_a, "learning_rate"_a, "head_rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a,
            "correction1"_a, "correction2"_a, "parameter"_a, "gradient"_a, "exp_avg"_a, "exp_avg_sq"_a, "visible"_a);

    m.def(
        "adam",
        [kernels](const AdamArgs<Real>& args) {
            nb::gil_scoped_release unlocked;
            kernels().adam(args);
        },
        "args"_a);
    bind_stereo(m, kernels);
}

}  // namespace

NB_MODULE(_core, m) {
    m.doc() = "The performance core of recon: CPU kernels behind raw pointers. Use recon.render instead.";
    m.attr("TILE") = recon::kTile;
    m.attr("EXTRA_MOMENTS") = recon::kExtraMoments;
    m.attr("CAMERA_SUMS") = recon::kCameraSums;
    m.attr("PROBE") = recon::kProbe;
    m.attr("FULL_PROBE") = recon::kFullProbe;
    m.attr("MAX_CHANNELS") = recon::kMaxChannels;
    m.attr("BIN_CHUNKS") = recon::kBinChunks;
    m.attr("STEREO_MARGIN") = recon::kStereoMargin;
    m.attr("MAX_STEREO_SOURCES") = recon::kMaxStereoSources;
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
    bind_mesh<float>(f32);
    bind_mesh<double>(f64);
    bind_lattice(m);
}
