#include "cpu/mesh_raster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/thread_pool.h"
#include "recon/mesh_pixels.h"

namespace recon {
namespace {

constexpr int kMeshTile = 32, kChunks = 16;

template <class Real>
void draw(const MeshView<Real>& view, int32_t face, const PixelBox& tile, int32_t* face_ids, Real* depth, Real* barycentrics) {
    const PixelBox box = triangle_bounds(view, face);
    const int x0 = std::max(box.x0, tile.x0), x1 = std::min(box.x1, tile.x1);
    const int y0 = std::max(box.y0, tile.y0), y1 = std::min(box.y1, tile.y1);
    if (x0 >= x1 || y0 >= y1) return;
    const DrawnTriangle triangle(view, face);
    if (triangle.flat()) return;
    for (int y = y0; y < y1; ++y)
        for (int x = x0; x < x1; ++x) {
            Real z;
            double a[3], sum;
            if (!triangle.covers(x, y, view.near, z, a, sum)) continue;
            const int64_t i = int64_t(y) * view.width + x;
            if (face_ids[i] >= 0 && (z > depth[i] || (z == depth[i] && face > face_ids[i]))) continue;
            face_ids[i] = face, depth[i] = z;
            const double inverse = 1 / sum;
            for (int k = 0; k < 3; ++k) barycentrics[3 * i + k] = Real(a[k] * inverse);
        }
}

}  // namespace

template <class Real>
void mesh_rasterize(const MeshView<Real>& view, int32_t* face_ids, Real* depth, Real* barycentrics) {
    const int tiles_x = (view.width + kMeshTile - 1) / kMeshTile, tiles_y = (view.height + kMeshTile - 1) / kMeshTile;
    const int64_t tiles = int64_t(tiles_x) * tiles_y;
    std::vector<int64_t> next(size_t(kChunks * tiles + 1));
    const auto visit = [&](int64_t chunk, const auto& body) {
        for (int64_t f = view.faces * chunk / kChunks; f < view.faces * (chunk + 1) / kChunks; ++f) {
            const PixelBox box = triangle_bounds(view, f);
            if (box.empty()) continue;
            for (int ty = box.y0 / kMeshTile; ty <= (box.y1 - 1) / kMeshTile; ++ty)
                for (int tx = box.x0 / kMeshTile; tx <= (box.x1 - 1) / kMeshTile; ++tx)
                    body(int32_t(f), size_t((int64_t(ty) * tiles_x + tx) * kChunks + chunk));
        }
    };
    parallel_for(kChunks, [&](int64_t chunk, int) { visit(chunk, [&](int32_t, size_t slot) { ++next[slot + 1]; }); });
    for (size_t slot = 1; slot < next.size(); ++slot) next[slot] += next[slot - 1];
    const std::vector<int64_t> starts = next;
    std::vector<int32_t> listed(size_t(starts.back()));
    parallel_for(kChunks, [&](int64_t chunk, int) { visit(chunk, [&](int32_t f, size_t slot) { listed[size_t(next[slot]++)] = f; }); });
    parallel_for(tiles, [&](int64_t t, int) {
        const int tx = int(t % tiles_x), ty = int(t / tiles_x);
        const PixelBox tile = {tx * kMeshTile, std::min(view.width, (tx + 1) * kMeshTile), ty * kMeshTile, std::min(view.height, (ty + 1) * kMeshTile)};
        for (int y = tile.y0; y < tile.y1; ++y) {
            const int64_t row = int64_t(y) * view.width;
            std::fill(face_ids + row + tile.x0, face_ids + row + tile.x1, -1);
            std::fill(depth + row + tile.x0, depth + row + tile.x1, Real(0));
            std::fill(barycentrics + 3 * (row + tile.x0), barycentrics + 3 * (row + tile.x1), Real(0));
        }
        for (int64_t i = starts[size_t(t * kChunks)]; i < starts[size_t((t + 1) * kChunks)]; ++i)
            draw(view, listed[size_t(i)], tile, face_ids, depth, barycentrics);
    });
}

void group_pixels(const int32_t* face_ids, int64_t count, int64_t faces, int32_t* starts, int32_t* pixels) {
    std::fill(starts, starts + faces + 1, 0);
    for (int64_t i = 0; i < count; ++i)
        if (face_ids[i] >= 0) ++starts[face_ids[i] + 1];
    for (int64_t f = 0; f < faces; ++f) starts[f + 1] += starts[f];
    std::vector<int32_t> next(starts, starts + faces);
    for (int64_t i = 0; i < count; ++i)
        if (face_ids[i] >= 0) pixels[next[size_t(face_ids[i])]++] = int32_t(i);
}

template <class Real>
void mesh_rasterize_backward(const MeshView<Real>& view, const int32_t* starts, const int32_t* pixels, const Real* v_depth,
                             const Real* v_barycentrics, Real* v_q) {
    std::vector<Real> by_face(size_t(9 * view.faces));
    parallel_for(kChunks, [&](int64_t chunk, int) {
        for (int64_t f = view.faces * chunk / kChunks; f < view.faces * (chunk + 1) / kChunks; ++f) {
            if (starts[f] == starts[f + 1]) continue;
            const Real* q[3];
            for (int i = 0; i < 3; ++i) q[i] = view.q + 3 * int64_t(view.index[3 * f + i]);
            Real sum[3][3] = {};
            for (int32_t i = starts[f]; i < starts[f + 1]; ++i) {
                const int64_t pixel = pixels[i];
                const Real none[3] = {};
                triangle_pixel_gradient(q, Real(pixel % view.width) + Real(0.5), Real(pixel / view.width) + Real(0.5),
                                        v_barycentrics ? v_barycentrics + 3 * pixel : none, v_depth ? v_depth[pixel] : Real(0), sum);
            }
            std::copy(&sum[0][0], &sum[0][0] + 9, by_face.data() + 9 * f);
        }
    });
    std::fill(v_q, v_q + 3 * view.vertices, Real(0));
    for (int64_t f = 0; f < view.faces; ++f)
        if (starts[f] != starts[f + 1])
            for (int i = 0; i < 3; ++i)
                for (int d = 0; d < 3; ++d) v_q[3 * int64_t(view.index[3 * f + i]) + d] += by_face[size_t(9 * f + 3 * i + d)];
}

template <class Real>
void interpolate(const InterpolateArgs<Real>& a, Real* out) {
    parallel_for(kChunks, [&](int64_t chunk, int) {
        for (int64_t p = a.pixels * chunk / kChunks; p < a.pixels * (chunk + 1) / kChunks; ++p) {
            Real* to = out + p * a.channels;
            std::fill(to, to + a.channels, Real(0));
            const int64_t face = a.face_ids[p];
            if (face < 0) continue;
            for (int i = 0; i < 3; ++i) {
                const Real weight = a.barycentrics[3 * p + i];
                const Real* from = a.attributes + (a.index ? a.index[3 * face + i] : 3 * face + i) * int64_t(a.channels);
                for (int c = 0; c < a.channels; ++c) to[c] += weight * from[c];
            }
        }
    });
}

template <class Real>
void interpolate_backward(const InterpolateArgs<Real>& a, const int32_t* starts, const int32_t* grouped, const Real* v_out,
                          Real* v_attributes, Real* v_barycentrics) {
    if (v_barycentrics)
        parallel_for(kChunks, [&](int64_t chunk, int) {
            for (int64_t p = a.pixels * chunk / kChunks; p < a.pixels * (chunk + 1) / kChunks; ++p) {
                const int64_t face = a.face_ids[p];
                for (int i = 0; i < 3; ++i) {
                    Real sum = 0;
                    if (face >= 0) {
                        const Real* from = a.attributes + (a.index ? a.index[3 * face + i] : 3 * face + i) * int64_t(a.channels);
                        for (int c = 0; c < a.channels; ++c) sum += from[c] * v_out[p * a.channels + c];
                    }
                    v_barycentrics[3 * p + i] = sum;
                }
            }
        });
    if (!v_attributes) return;
    // By face in parallel; rows shared by several faces are then added up in the order of the faces.
    const int64_t width = 3 * int64_t(a.channels);
    std::vector<Real> shared(a.index ? size_t(a.faces * width) : 0);
    Real* by_face = a.index ? shared.data() : v_attributes;
    parallel_for(kChunks, [&](int64_t chunk, int) {
        for (int64_t f = a.faces * chunk / kChunks; f < a.faces * (chunk + 1) / kChunks; ++f) {
            Real* to = by_face + f * width;
            std::fill(to, to + width, Real(0));
            for (int32_t i = starts[f]; i < starts[f + 1]; ++i) {
                const int64_t p = grouped[i];
                for (int k = 0; k < 3; ++k)
                    for (int c = 0; c < a.channels; ++c) to[k * a.channels + c] += a.barycentrics[3 * p + k] * v_out[p * a.channels + c];
            }
        }
    });
    if (!a.index) return;
    std::fill(v_attributes, v_attributes + a.rows * a.channels, Real(0));
    for (int64_t f = 0; f < a.faces; ++f)
        if (starts[f] != starts[f + 1])
            for (int k = 0; k < 3; ++k)
                for (int c = 0; c < a.channels; ++c)
                    v_attributes[int64_t(a.index[3 * f + k]) * a.channels + c] += shared[size_t(f * width + k * a.channels + c)];
}

void opposite_vertices(const int32_t* index, int64_t faces, int64_t vertices, int32_t* opposite) {
    // Edges in buckets by their lower vertex; a bucket holds about six.
    std::vector<int32_t> starts(size_t(vertices + 1)), edges(size_t(3 * faces));
    const auto ends = [index](int64_t edge) {
        const int32_t *f = index + edge / 3 * 3, a = f[(edge + 1) % 3], b = f[(edge + 2) % 3];
        return a < b ? std::make_pair(a, b) : std::make_pair(b, a);
    };
    // (edge + 1) % 3 is the corner after corner edge % 3, because edge / 3 * 3 is a multiple of three.
    for (int64_t e = 0; e < 3 * faces; ++e) ++starts[size_t(ends(e).first) + 1];
    for (int64_t v = 0; v < vertices; ++v) starts[size_t(v) + 1] += starts[size_t(v)];
    std::vector<int32_t> next(starts.begin(), starts.end() - 1);
    for (int64_t e = 0; e < 3 * faces; ++e) edges[size_t(next[size_t(ends(e).first)]++)] = int32_t(e);
    parallel_for(kChunks, [&](int64_t chunk, int) {
        for (int64_t e = 3 * faces * chunk / kChunks; e < 3 * faces * (chunk + 1) / kChunks; ++e) {
            const auto [low, high] = ends(e);
            opposite[e] = -1;
            for (int32_t i = starts[size_t(low)]; i < starts[size_t(low) + 1]; ++i) {
                const int32_t other = edges[size_t(i)];
                if (other == e || ends(other).second != high) continue;
                opposite[e] = index[other];
                break;
            }
        }
    });
}

template <class Real>
int64_t find_silhouettes(const AntialiasArgs<Real>& args, int64_t* starts, Silhouette* found) {
    parallel_for(args.view.height, [&](int64_t y, int) {
        int64_t next = found ? starts[y] : 0;
        for (int x = 0; x < args.view.width; ++x)
            for (int along = 0; along < 2; ++along) {
                Silhouette one;
                if (!silhouette_between(args, x, int(y), along, one)) continue;
                if (found) found[next] = one;
                ++next;
            }
        if (!found) starts[y + 1] = next;
    });
    if (found) return starts[args.view.height];
    starts[0] = 0;
    for (int y = 0; y < args.view.height; ++y) starts[y + 1] += starts[y];
    return starts[args.view.height];
}

template <class Real>
void antialias(const AntialiasArgs<Real>& args, const Silhouette* found, int64_t count, const Real* image, int channels, Real* out) {
    for (int64_t i = 0; i < count; ++i) {
        const Blend<Real> blend(args.view, found[i]);
        for (int c = 0; c < channels; ++c)
            out[blend.into * channels + c] += blend.share * (image[blend.from * channels + c] - image[blend.into * channels + c]);
    }
}

template <class Real>
void antialias_backward(const AntialiasArgs<Real>& args, const Silhouette* found, int64_t count, const Real* image, int channels,
                        const Real* v_out, Real* v_image, Real* v_q) {
    std::fill(v_q, v_q + 3 * args.view.vertices, Real(0));
    for (int64_t i = 0; i < count; ++i) {
        const Blend<Real> blend(args.view, found[i]);
        Real v_share = 0;
        for (int c = 0; c < channels; ++c) {
            const Real v = v_out[blend.into * channels + c];
            v_share += v * (image[blend.from * channels + c] - image[blend.into * channels + c]);
            v_image[blend.from * channels + c] += blend.share * v;
            v_image[blend.into * channels + c] -= blend.share * v;
        }
        const int64_t a = 3 * int64_t(found[i].a), b = 3 * int64_t(found[i].b);
        edge_crossing_gradient(args.view.q + a, args.view.q + b, blend.along, blend.across, blend.place, v_share * blend.direction, v_q + a, v_q + b);
    }
}

#define RECON_INSTANTIATE(Real)                                                                                               \
    template void mesh_rasterize<Real>(const MeshView<Real>&, int32_t*, Real*, Real*);                                        \
    template void mesh_rasterize_backward<Real>(const MeshView<Real>&, const int32_t*, const int32_t*, const Real*, const Real*, Real*); \
    template void interpolate<Real>(const InterpolateArgs<Real>&, Real*);                                                     \
    template void interpolate_backward<Real>(const InterpolateArgs<Real>&, const int32_t*, const int32_t*, const Real*, Real*, Real*); \
    template int64_t find_silhouettes<Real>(const AntialiasArgs<Real>&, int64_t*, Silhouette*);                               \
    template void antialias<Real>(const AntialiasArgs<Real>&, const Silhouette*, int64_t, const Real*, int, Real*);           \
    template void antialias_backward<Real>(const AntialiasArgs<Real>&, const Silhouette*, int64_t, const Real*, int, const Real*, Real*, Real*);
RECON_INSTANTIATE(float)
RECON_INSTANTIATE(double)

}  // namespace recon
