// Multi-view stereo for Python.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"

namespace {

template <class Real, size_t N>
void fill(Real (&to)[N], const std::vector<double>& from) {
    if (from.size() != N) throw std::invalid_argument(std::to_string(from.size()) + " numbers, expected " + std::to_string(N));
    std::copy(from.begin(), from.end(), to);
}

}  // namespace

template <class Real>
void bind_stereo(nb::module_& m, const recon::Kernels<Real>& (*kernels)()) {
    using namespace recon;
    nb::class_<StereoSource<Real>>(m, "StereoSource")
        .def(
            "__init__",
            [](StereoSource<Real>* self, int width, int height, Pointer quads, Pointer inverse_depth,
               const std::vector<double>& from_ray, const std::vector<double>& from_center,
               const std::vector<double>& to_reference, const std::vector<double>& to_center) {
                new (self) StereoSource<Real>();
                self->width = width, self->height = height;
                self->quads = at<uint32_t>(quads), self->inverse_depth = at<Real>(inverse_depth);
                fill(self->from_ray, from_ray), fill(self->from_center, from_center);
                fill(self->to_reference, to_reference), fill(self->to_center, to_center);
            },
            nb::kw_only(), "width"_a, "height"_a, "quads"_a, "inverse_depth"_a, "from_ray"_a, "from_center"_a, "to_reference"_a,
            "to_center"_a);

    nb::class_<StereoArgs<Real>>(m, "StereoArgs")
        .def(
            "__init__",
            [](StereoArgs<Real>* self, int width, int height, int64_t stride, Real fx, Real fy, Real cx, Real cy, Pointer image,
               Pointer planes, Pointer cost, Pointer noise, Pointer planes_out, Pointer cost_out, Real smallest, Real largest, Real shake,
               Real color_sigma, Real geometric_weight, int radius, int step, int best, const std::vector<StereoSource<Real>>& sources) {
                const int across = 2 * radius / step + 1;
                if (sources.empty() || sources.size() > kMaxStereoSources)
                    throw std::invalid_argument(std::to_string(sources.size()) + " sources, wanted 1 to " + std::to_string(kMaxStereoSources));
                if (radius < 1 || step < 1 || radius > kStereoMargin || across * across > kMaxStereoSamples)
                    throw std::invalid_argument("a window of radius " + std::to_string(radius) + " and step " + std::to_string(step));
                StereoArgs<Real>& a = *new (self) StereoArgs<Real>();
                a.width = width, a.height = height, a.stride = stride, a.fx = fx, a.fy = fy, a.cx = cx, a.cy = cy;
                a.image = at<Real>(image), a.planes = at<Real>(planes), a.cost = at<Real>(cost), a.noise = at<Real>(noise);
                a.planes_out = at<Real>(planes_out), a.cost_out = at<Real>(cost_out);
                a.smallest = smallest, a.largest = largest, a.shake = shake, a.color_sigma = color_sigma;
                a.geometric_weight = geometric_weight, a.radius = radius, a.step = step, a.best = best;
                a.source_count = int(sources.size());
                std::copy(sources.begin(), sources.end(), a.sources);
            },
            nb::kw_only(), "width"_a, "height"_a, "stride"_a, "fx"_a, "fy"_a, "cx"_a, "cy"_a, "image"_a, "planes"_a, "cost"_a, "noise"_a,
            "planes_out"_a, "cost_out"_a, "smallest"_a, "largest"_a, "shake"_a, "color_sigma"_a, "geometric_weight"_a, "radius"_a,
            "step"_a, "best"_a, "sources"_a);

    m.def(
        "stereo_sweep", [kernels](const StereoArgs<Real>& args) { kernels().stereo_sweep(args); }, "args"_a,
        nb::call_guard<nb::gil_scoped_release>());
}

template void bind_stereo<float>(nb::module_&, const recon::Kernels<float>& (*)());
template void bind_stereo<double>(nb::module_&, const recon::Kernels<double>& (*)());
