// The mesh part of `recon._core`.
#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <tuple>
#include <vector>

#include "bindings.h"
#include "cpu/flexicubes.h"
#include "cpu/mesh_raster.h"
#include "cpu/triangle_tree.h"
#include "cpu/voxels.h"
#include "recon/flexicubes.h"

namespace {

using Unlocked = nb::call_guard<nb::gil_scoped_release>;

}  // namespace

template <class Real>
void bind_mesh(nb::module_& m) {
    using namespace recon;
    using Cubes = FlexiCubesArgs<Real>;
    nb::class_<Cubes>(m, "FlexiCubesArgs")
        .def(
            "__init__",
            [](Cubes* self, int64_t voxels, int64_t layers, Pointer layer_starts, Pointer voxel_corners, Pointer corner_voxel,
               Pointer corners, std::array<Real, 3> origin, Real voxel_size, Pointer sdf, Pointer offsets, Pointer alpha, Pointer beta,
               Pointer gamma, bool training, Pointer cases, Pointer first_vertex, Pointer quad_starts) {
                new (self) Cubes();
                self->voxels = voxels, self->layers = layers, self->layer_starts = at<int64_t>(layer_starts);
                self->voxel_corners = at<int32_t>(voxel_corners), self->corner_voxel = at<int32_t>(corner_voxel);
                self->corners = at<int32_t>(corners), self->voxel_size = voxel_size;
                for (size_t d = 0; d < 3; ++d) self->origin[d] = origin[d];
                self->sdf = at<Real>(sdf), self->offsets = at<Real>(offsets);
                self->alpha = at<Real>(alpha), self->beta = at<Real>(beta), self->gamma = at<Real>(gamma);
                self->training = training, self->cases = at<uint8_t>(cases);
                self->first_vertex = at<int32_t>(first_vertex), self->quad_starts = at<int64_t>(quad_starts);
            },
            nb::kw_only(), "voxels"_a, "layers"_a, "layer_starts"_a, "voxel_corners"_a, "corner_voxel"_a, "corners"_a, "origin"_a,
            "voxel_size"_a, "sdf"_a, "offsets"_a, "alpha"_a, "beta"_a, "gamma"_a, "training"_a, "cases"_a, "first_vertex"_a,
            "quad_starts"_a);
    m.def(
        "flexicubes_count",
        [](const Cubes& args) {
            nb::gil_scoped_release unlocked;
            const SurfaceSize size = flexicubes_count(args);
            return std::make_tuple(size.duals, size.quads);
        },
        "args"_a, "Numbers of dual vertices and quads.");
    m.def(
        "flexicubes_fill",
        [](const Cubes& args, int64_t duals, int64_t quads, Pointer vertices, Pointer faces, Pointer deviation) {
            flexicubes_fill(args, {duals, quads}, at<Real>(vertices), at<int32_t>(faces), at<Real>(deviation));
        },
        "args"_a, "duals"_a, "quads"_a, nb::kw_only(), "vertices"_a, "faces"_a, "deviation"_a, Unlocked());
    m.def(
        "flexicubes_backward",
        [](const Cubes& args, int64_t duals, int64_t quads, Pointer vertices, Pointer v_vertices, Pointer v_deviation, Pointer v_sdf,
           Pointer v_offsets, Pointer v_alpha, Pointer v_beta, Pointer v_gamma) {
            flexicubes_backward(args, {duals, quads},
                                {at<Real>(vertices), at<Real>(v_vertices), at<Real>(v_deviation), at<Real>(v_sdf), at<Real>(v_offsets),
                                 at<Real>(v_alpha), at<Real>(v_beta), at<Real>(v_gamma)});
        },
        "args"_a, "duals"_a, "quads"_a, nb::kw_only(), "vertices"_a, "v_vertices"_a, "v_deviation"_a, "v_sdf"_a, "v_offsets"_a,
        "v_alpha"_a, "v_beta"_a, "v_gamma"_a, Unlocked());

    using View = MeshView<Real>;
    nb::class_<View>(m, "MeshView")
        .def(
            "__init__",
            [](View* self, int64_t vertices, int64_t faces, int width, int height, Real near, Pointer q, Pointer index) {
                new (self) View{vertices, faces, width, height, near, at<Real>(q), at<int32_t>(index)};
            },
            nb::kw_only(), "vertices"_a, "faces"_a, "width"_a, "height"_a, "near"_a, "q"_a, "index"_a);
    m.def(
        "mesh_rasterize",
        [](const View& view, Pointer face_ids, Pointer depth, Pointer barycentrics) {
            mesh_rasterize(view, at<int32_t>(face_ids), at<Real>(depth), at<Real>(barycentrics));
        },
        "view"_a, nb::kw_only(), "face_ids"_a, "depth"_a, "barycentrics"_a, Unlocked());
    m.def(
        "mesh_rasterize_backward",
        [](const View& view, Pointer starts, Pointer pixels, Pointer v_depth, Pointer v_barycentrics, Pointer v_q) {
            mesh_rasterize_backward(view, at<int32_t>(starts), at<int32_t>(pixels), at<Real>(v_depth), at<Real>(v_barycentrics), at<Real>(v_q));
        },
        "view"_a, nb::kw_only(), "starts"_a, "pixels"_a, "v_depth"_a, "v_barycentrics"_a, "v_q"_a, Unlocked());

    using Attributes = InterpolateArgs<Real>;
    nb::class_<Attributes>(m, "InterpolateArgs")
        .def(
            "__init__",
            [](Attributes* self, int64_t pixels, int64_t faces, int64_t rows, int channels, Pointer index, Pointer attributes,
               Pointer face_ids, Pointer barycentrics) {
                new (self) Attributes{pixels, faces, rows, channels, at<int32_t>(index), at<Real>(attributes), at<int32_t>(face_ids),
                                      at<Real>(barycentrics)};
            },
            nb::kw_only(), "pixels"_a, "faces"_a, "rows"_a, "channels"_a, "index"_a, "attributes"_a, "face_ids"_a, "barycentrics"_a);
    m.def(
        "interpolate", [](const Attributes& args, Pointer out) { interpolate(args, at<Real>(out)); }, "args"_a, "out"_a, Unlocked());
    m.def(
        "interpolate_backward",
        [](const Attributes& args, Pointer starts, Pointer grouped, Pointer v_out, Pointer v_attributes, Pointer v_barycentrics) {
            interpolate_backward(args, at<int32_t>(starts), at<int32_t>(grouped), at<Real>(v_out), at<Real>(v_attributes),
                                 at<Real>(v_barycentrics));
        },
        "args"_a, nb::kw_only(), "starts"_a, "grouped"_a, "v_out"_a, "v_attributes"_a, "v_barycentrics"_a, Unlocked());

    m.def(
        "find_silhouettes",
        [](const View& view, Pointer face_ids, Pointer depth, Pointer opposite, Pointer starts, Pointer found) {
            return find_silhouettes<Real>({view, at<int32_t>(face_ids), at<Real>(depth), at<int32_t>(opposite)}, at<int64_t>(starts),
                                          at<Silhouette>(found));
        },
        "view"_a, nb::kw_only(), "face_ids"_a, "depth"_a, "opposite"_a, "starts"_a, "found"_a, Unlocked());
    m.def(
        "antialias",
        [](const View& view, Pointer found, int64_t count, Pointer image, int channels, Pointer out) {
            antialias<Real>({view}, at<Silhouette>(found), count, at<Real>(image), channels, at<Real>(out));
        },
        "view"_a, nb::kw_only(), "found"_a, "count"_a, "image"_a, "channels"_a, "out"_a, Unlocked());
    m.def(
        "antialias_backward",
        [](const View& view, Pointer found, int64_t count, Pointer image, int channels, Pointer v_out, Pointer v_image, Pointer v_q) {
            antialias_backward<Real>({view}, at<Silhouette>(found), count, at<Real>(image), channels, at<Real>(v_out), at<Real>(v_image),
                                     at<Real>(v_q));
        },
        "view"_a, nb::kw_only(), "found"_a, "count"_a, "image"_a, "channels"_a, "v_out"_a, "v_image"_a, "v_q"_a, Unlocked());

    m.def(
        "closest_points",
        [](Pointer vertices, Pointer faces, int64_t face_count, Pointer points, int64_t count, Pointer face, Pointer barycentrics) {
            closest_points(at<Real>(vertices), at<int32_t>(faces), face_count, at<Real>(points), count, at<int32_t>(face),
                           at<Real>(barycentrics));
        },
        nb::kw_only(), "vertices"_a, "faces"_a, "face_count"_a, "points"_a, "count"_a, "face"_a, "barycentrics"_a, Unlocked());
    m.def(
        "first_hits",
        [](Pointer vertices, Pointer faces, int64_t face_count, Pointer origins, Pointer directions, int64_t count, double near, Pointer face,
           Pointer distance) {
            first_hits(at<Real>(vertices), at<int32_t>(faces), face_count, at<Real>(origins), at<Real>(directions), count, near,
                       at<int32_t>(face), at<Real>(distance));
        },
        nb::kw_only(), "vertices"_a, "faces"_a, "face_count"_a, "origins"_a, "directions"_a, "count"_a, "near"_a, "face"_a, "distance"_a,
        Unlocked());
}

template void bind_mesh<float>(nb::module_& m);
template void bind_mesh<double>(nb::module_& m);

void bind_lattice(nb::module_& m) {
    using namespace recon;
    m.def(
        "shifted_union_count",
        [](int64_t count, Pointer keys, int shifts, Pointer offsets, Pointer starts) {
            return shifted_union_count({count, at<int64_t>(keys), shifts, at<int64_t>(offsets)}, at<int64_t>(starts));
        },
        nb::kw_only(), "count"_a, "keys"_a, "shifts"_a, "offsets"_a, "starts"_a, Unlocked());
    m.def(
        "shifted_union_fill",
        [](int64_t count, Pointer keys, int shifts, Pointer offsets, Pointer starts, Pointer union_keys, Pointer place) {
            shifted_union_fill({count, at<int64_t>(keys), shifts, at<int64_t>(offsets)}, at<int64_t>(starts), at<int64_t>(union_keys),
                               at<int32_t>(place));
        },
        nb::kw_only(), "count"_a, "keys"_a, "shifts"_a, "offsets"_a, "starts"_a, "union_keys"_a, "place"_a, Unlocked());
    m.attr("UNION_PARTS") = kUnionParts;
    m.attr("MAX_SHIFTS") = kMaxShifts;
    m.def(
        "group_pixels",
        [](Pointer face_ids, int64_t count, int64_t faces, Pointer starts, Pointer pixels) {
            group_pixels(at<int32_t>(face_ids), count, faces, at<int32_t>(starts), at<int32_t>(pixels));
        },
        nb::kw_only(), "face_ids"_a, "count"_a, "faces"_a, "starts"_a, "pixels"_a, Unlocked());
    m.def(
        "opposite_vertices",
        [](Pointer index, int64_t faces, int64_t vertices, Pointer opposite) {
            opposite_vertices(at<int32_t>(index), faces, vertices, at<int32_t>(opposite));
        },
        nb::kw_only(), "index"_a, "faces"_a, "vertices"_a, "opposite"_a, Unlocked());
    m.def(
        "cube_table",
        [] {
            static constexpr CubeTable table = make_cube_table();
            std::vector<std::tuple<int, int, std::vector<int>>> rows;
            for (const CubeCase& row : table.cases)
                rows.emplace_back(row.duals, row.doubled_face, std::vector<int>(row.dual_of_edge, row.dual_of_edge + kCubeEdges));
            return rows;
        },
        "Of every case: the number of dual vertices, the doubled face or -1, and each edge's dual vertex or 255.");
}
