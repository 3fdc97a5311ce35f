// Python module `recon._cuda`: the GPU driver behind raw pointers on the device and a stream. Argument classes are those of
// `recon._core.f32`, which must be imported first; recon/render/gpu.py allocates and checks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>

#include "gpu/kernels.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace recon;

namespace {

using Pointer = uintptr_t;  // Tensor.data_ptr(), or a stream; 0 for none

template <class T>
T* at(Pointer p) {
    return reinterpret_cast<T*>(p);
}

int family_count() {
    int count = 0;
    while (gpu::families()[count]) ++count;
    return count;
}

const gpu::FamilyKernels& family(int index) {
    if (index < 0 || index >= family_count()) throw std::out_of_range("no family " + std::to_string(index));
    return *gpu::families()[index];
}

}  // namespace

NB_MODULE(_cuda, m) {
    m.doc() = "The GPU kernels of recon behind raw pointers. Use recon.render instead.";

    m.attr("ARCHITECTURES") = RECON_ARCHITECTURES;

    nb::class_<GpuBinArgs>(m, "BinArgs")
        .def(
            "__init__",
            [](GpuBinArgs* self, int64_t count, int width, int height, int tiles_x, int tiles_y, Pointer records, Pointer boxes,
               Pointer depth_keys, Pointer order, Pointer tiles_touched, Pointer offsets, Pointer seen) {
                new (self) GpuBinArgs();
                self->count = count, self->width = width, self->height = height;
                self->tiles_x = tiles_x, self->tiles_y = tiles_y;
                self->records = at<float>(records), self->boxes = at<float>(boxes);
                self->depth_keys = at<uint32_t>(depth_keys), self->order = at<int32_t>(order);
                self->tiles_touched = at<int32_t>(tiles_touched), self->offsets = at<int64_t>(offsets);
                self->seen = at<uint8_t>(seen);
            },
            nb::kw_only(), "count"_a, "width"_a, "height"_a, "tiles_x"_a, "tiles_y"_a, "records"_a, "boxes"_a, "depth_keys"_a,
            "order"_a, "tiles_touched"_a, "offsets"_a, "seen"_a)
        .def(
            "set_room",
            [](GpuBinArgs& self, int64_t capacity, Pointer tile_keys, Pointer instances, Pointer tile_ranges, Pointer scratch,
               size_t scratch_bytes) {
                self.capacity = capacity, self.tile_keys = at<void>(tile_keys), self.instances = at<int32_t>(instances);
                self.tile_ranges = at<int32_t>(tile_ranges), self.scratch = at<void>(scratch), self.scratch_bytes = scratch_bytes;
            },
            nb::kw_only(), "capacity"_a, "tile_keys"_a, "instances"_a, "tile_ranges"_a, "scratch"_a, "scratch_bytes"_a);

    m.def("bin_scratch_bytes", &gpu::bin_scratch_bytes, "count"_a, "capacity"_a, "tiles"_a);
    m.def("tile_key_bytes", &gpu::tile_key_bytes, "tiles"_a, "Size of a tile's number in lists, 2 or 4.");
    m.def(
        "project_forward",
        [](int index, const ProjectArgs<float>& args, Pointer stream) { family(index).project_forward(args, at<void>(stream)); },
        "family"_a, "args"_a, "stream"_a);
    m.def(
        "project_backward",
        [](int index, const ProjectArgs<float>& args, const ProjectBackwardArgs<float>& gradients, Pointer seen, Pointer camera_total,
           Pointer stream) {
            family(index).project_backward(args, gradients, at<uint8_t>(seen), at<double>(camera_total), at<void>(stream));
        },
        "family"_a, "args"_a, "gradients"_a, "seen"_a, "camera_total"_a, "stream"_a);
    m.def(
        "bin_count", [](int index, const GpuBinArgs& args, Pointer stream) { family(index).bin_count(args, at<void>(stream)); },
        "family"_a, "args"_a, "stream"_a);
    m.def(
        "bin_fill", [](int index, const GpuBinArgs& args, Pointer stream) { family(index).bin_fill(args, at<void>(stream)); },
        "family"_a, "args"_a, "stream"_a);
    m.def(
        "rasterize_forward",
        [](int index, const RasterArgs<float>& args, int64_t count, Pointer instances, Pointer tile_ranges, Pointer image,
           Pointer median_depth, Pointer stream) {
            GpuRasterArgs a;
            a.raster = args, a.count = count, a.instances = at<int32_t>(instances), a.tile_ranges = at<int32_t>(tile_ranges);
            a.raster.image = at<float>(image), a.raster.median_depth = at<float>(median_depth);
            family(index).rasterize_forward(a, at<void>(stream));
        },
        "family"_a, "args"_a, nb::kw_only(), "count"_a, "instances"_a, "tile_ranges"_a, "image"_a, "median_depth"_a, "stream"_a);
    m.def(
        "rasterize_backward",
        [](int index, const RasterArgs<float>& args, int64_t count, Pointer instances, Pointer tile_ranges, Pointer v_image,
           Pointer v_alpha, Pointer v_median_depth, bool extra, Pointer moments, Pointer stream) {
            GpuRasterArgs a;
            a.raster = args, a.count = count, a.instances = at<int32_t>(instances), a.tile_ranges = at<int32_t>(tile_ranges);
            a.raster.v_image = at<float>(v_image), a.raster.v_alpha = at<float>(v_alpha);
            a.raster.v_median_depth = at<float>(v_median_depth), a.raster.extra = extra, a.raster.moments = at<float>(moments);
            family(index).rasterize_backward(a, at<void>(stream));
        },
        "family"_a, "args"_a, nb::kw_only(), "count"_a, "instances"_a, "tile_ranges"_a, "v_image"_a, "v_alpha"_a, "v_median_depth"_a,
        "extra"_a, "moments"_a, "stream"_a);
    m.def(
        "mesh_rasterize",
        [](const MeshView<float>& view, Pointer keys, Pointer face_ids, Pointer depth, Pointer barycentrics, Pointer stream) {
            gpu::run_mesh_rasterize(view, at<uint64_t>(keys), at<int32_t>(face_ids), at<float>(depth), at<float>(barycentrics), at<void>(stream));
        },
        "view"_a, nb::kw_only(), "keys"_a, "face_ids"_a, "depth"_a, "barycentrics"_a, "stream"_a);
    m.def(
        "mesh_rasterize_backward",
        [](const MeshView<float>& view, Pointer face_ids, Pointer v_depth, Pointer v_barycentrics, Pointer v_q, Pointer stream) {
            gpu::run_mesh_rasterize_backward(view, at<int32_t>(face_ids), at<float>(v_depth), at<float>(v_barycentrics), at<float>(v_q), at<void>(stream));
        },
        "view"_a, nb::kw_only(), "face_ids"_a, "v_depth"_a, "v_barycentrics"_a, "v_q"_a, "stream"_a);
    m.def(
        "interpolate",
        [](const InterpolateArgs<float>& args, Pointer out, Pointer stream) { gpu::run_interpolate(args, at<float>(out), at<void>(stream)); },
        "args"_a, nb::kw_only(), "out"_a, "stream"_a);
    m.def(
        "interpolate_backward",
        [](const InterpolateArgs<float>& args, Pointer v_out, Pointer v_attributes, Pointer v_barycentrics, Pointer stream) {
            gpu::run_interpolate_backward(args, at<float>(v_out), at<float>(v_attributes), at<float>(v_barycentrics), at<void>(stream));
        },
        "args"_a, nb::kw_only(), "v_out"_a, "v_attributes"_a, "v_barycentrics"_a, "stream"_a);
    m.def(
        "find_silhouettes",
        [](const MeshView<float>& view, Pointer face_ids, Pointer depth, Pointer opposite, Pointer found, Pointer stream) {
            gpu::run_find_silhouettes({view, at<int32_t>(face_ids), at<float>(depth), at<int32_t>(opposite)}, at<Silhouette>(found), at<void>(stream));
        },
        "view"_a, nb::kw_only(), "face_ids"_a, "depth"_a, "opposite"_a, "found"_a, "stream"_a);
    m.def(
        "antialias",
        [](const MeshView<float>& view, Pointer found, int64_t count, Pointer image, int channels, Pointer out, Pointer stream) {
            gpu::run_antialias(view, at<Silhouette>(found), count, at<float>(image), channels, at<float>(out), at<void>(stream));
        },
        "view"_a, nb::kw_only(), "found"_a, "count"_a, "image"_a, "channels"_a, "out"_a, "stream"_a);
    m.def(
        "antialias_backward",
        [](const MeshView<float>& view, Pointer found, int64_t count, Pointer image, int channels, Pointer v_out, Pointer v_image, Pointer v_q,
           Pointer stream) {
            gpu::run_antialias_backward(view, at<Silhouette>(found), count, at<float>(image), channels, at<float>(v_out), at<float>(v_image),
                                        at<float>(v_q), at<void>(stream));
        },
        "view"_a, nb::kw_only(), "found"_a, "count"_a, "image"_a, "channels"_a, "v_out"_a, "v_image"_a, "v_q"_a, "stream"_a);
    m.def("flexicubes_scratch_bytes", &gpu::flexicubes_scratch_bytes, "voxels"_a);
    m.def(
        "flexicubes_count",
        [](const FlexiCubesArgs<float>& args, Pointer raw, Pointer counts, Pointer sums, Pointer scratch, size_t scratch_bytes, Pointer stream) {
            gpu::run_flexicubes_count(args, at<uint8_t>(raw), at<int32_t>(counts), at<int64_t>(sums), at<void>(scratch), scratch_bytes, at<void>(stream));
        },
        "args"_a, nb::kw_only(), "raw"_a, "counts"_a, "sums"_a, "scratch"_a, "scratch_bytes"_a, "stream"_a);
    m.def(
        "flexicubes_fill",
        [](const FlexiCubesArgs<float>& args, int64_t duals, Pointer vertices, Pointer faces, Pointer deviation, Pointer stream) {
            gpu::run_flexicubes_fill(args, duals, at<float>(vertices), at<int32_t>(faces), at<float>(deviation), at<void>(stream));
        },
        "args"_a, "duals"_a, nb::kw_only(), "vertices"_a, "faces"_a, "deviation"_a, "stream"_a);
    m.def(
        "flexicubes_backward",
        [](const FlexiCubesArgs<float>& args, int64_t duals, Pointer v_dual, Pointer vertices, Pointer v_vertices, Pointer v_deviation,
           Pointer v_sdf, Pointer v_offsets, Pointer v_alpha, Pointer v_beta, Pointer v_gamma, Pointer stream) {
            gpu::run_flexicubes_backward(args,
                                         {at<float>(vertices), at<float>(v_vertices), at<float>(v_deviation), at<float>(v_sdf),
                                          at<float>(v_offsets), at<float>(v_alpha), at<float>(v_beta), at<float>(v_gamma)},
                                         duals, at<float>(v_dual), at<void>(stream));
        },
        "args"_a, "duals"_a, nb::kw_only(), "v_dual"_a, "vertices"_a, "v_vertices"_a, "v_deviation"_a, "v_sdf"_a, "v_offsets"_a, "v_alpha"_a,
        "v_beta"_a, "v_gamma"_a, "stream"_a);
    m.def(
        "stereo_sweep", [](const StereoArgs<float>& args, Pointer stream) { gpu::run_stereo_sweep(args, at<void>(stream)); }, "args"_a,
        "stream"_a);
    m.def("adam", [](const AdamArgs<float>& args, Pointer stream) { gpu::run_adam(args, at<void>(stream)); }, "args"_a, "stream"_a);
    m.def(
        "image_loss",
        [](const ImageLossArgs<float>& args, Pointer total, Pointer out, Pointer stream) {
            gpu::run_image_loss(args, at<double>(total), at<float>(out), at<void>(stream));
        },
        "args"_a, nb::kw_only(), "total"_a, "out"_a, "stream"_a);
}
