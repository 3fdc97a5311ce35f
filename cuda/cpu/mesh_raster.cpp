#include "cpu/mesh_raster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/thread_pool.h"
#include "recon/mesh_triangle.h"

namespace recon {
namespace {

constexpr int kMeshTile = 32, kChunks = 16;

struct Box {
    int x0, x1, y0, y1;  // pixels, ends excluded
    bool empty() const { return x0 >= x1 || y0 >= y1; }
};

// The pixels whose centres the part of the triangle beyond the near plane may cover.
template <class Real>
Box bounds(const MeshView<Real>& view, const int32_t* f) {
    double low[2] = {1e30, 1e30}, high[2] = {-1e30, -1e30};
    const double near = std::max(double(view.near), 1e-12);
    const auto take = [&](double x, double y) {
        low[0] = std::min(low[0], x), high[0] = std::max(high[0], x);
        low[1] = std::min(low[1], y), high[1] = std::max(high[1], y);
    };
    for (int i = 0; i < 3; ++i) {
        const Real *a = view.q + 3 * int64_t(f[i]), *b = view.q + 3 * int64_t(f[(i + 1) % 3]);
        if (!(std::isfinite(a[0]) && std::isfinite(a[1]) && std::isfinite(a[2]))) return {0, 0, 0, 0};
        if (a[2] >= near) take(a[0] / double(a[2]), a[1] / double(a[2]));
        if ((a[2] >= near) == (b[2] >= near)) continue;
        const double t = (near - a[2]) / (double(b[2]) - a[2]);
        take((a[0] + t * (double(b[0]) - a[0])) / near, (a[1] + t * (double(b[1]) - a[1])) / near);
    }
    // A hundredth of a pixel of slack: the exact test is the edge functions'.
    const auto clamp = [](double v, int size) { return int(std::max(0.0, std::min(double(size), v))); };
    return {clamp(std::ceil(low[0] - 0.51), view.width), clamp(std::floor(high[0] - 0.49) + 1, view.width),
            clamp(std::ceil(low[1] - 0.51), view.height), clamp(std::floor(high[1] - 0.49) + 1, view.height)};
}

// Edge function of a triangle's side, computed from the lower-numbered vertex so that both its faces get the same bits.
template <class Real>
void side(const MeshView<Real>& view, int32_t from, int32_t to, double* out) {
    const Real *a = view.q + 3 * int64_t(std::min(from, to)), *b = view.q + 3 * int64_t(std::max(from, to));
    const double p[3] = {a[0], a[1], a[2]}, r[3] = {b[0], b[1], b[2]};
    cross3(p, r, out);
    if (from > to)
        for (int d = 0; d < 3; ++d) out[d] = -out[d];
}

template <class Real>
void draw(const MeshView<Real>& view, int32_t face, const Box& tile, int32_t* face_ids, Real* depth, Real* barycentrics) {
    const int32_t* f = view.index + 3 * int64_t(face);
    const Box box = bounds(view, f);
    const int x0 = std::max(box.x0, tile.x0), x1 = std::min(box.x1, tile.x1);
    const int y0 = std::max(box.y0, tile.y0), y1 = std::min(box.y1, tile.y1);
    if (x0 >= x1 || y0 >= y1) return;
    double edge[3][3];
    for (int i = 0; i < 3; ++i) side(view, f[(i + 1) % 3], f[(i + 2) % 3], edge[i]);
    const Real* q0 = view.q + 3 * int64_t(f[0]);
    const double origin[3] = {q0[0], q0[1], q0[2]};
    const double volume = dot3(origin, edge[0]);
    if (volume == 0 || !std::isfinite(volume)) return;
    const double sign = volume < 0 ? -1 : 1;  // seen from behind, all signs turn
    const double size = sign * volume;
    for (int y = y0; y < y1; ++y) {
        // In double from the pixel's own place: the same bits from both sides of an edge.
        const double py = y + 0.5;
        double row[3], step[3];
        for (int i = 0; i < 3; ++i) row[i] = sign * (edge[i][1] * py + edge[i][2]), step[i] = sign * edge[i][0];
        for (int x = x0; x < x1; ++x) {
            const double px = x + 0.5;
            const double a = row[0] + step[0] * px, b = row[1] + step[1] * px, c = row[2] + step[2] * px;
            if (!(a >= 0 && b >= 0 && c >= 0)) continue;
            const double sum = a + b + c;
            const Real z = Real(size / sum);
            if (!(z >= view.near) || !std::isfinite(z)) continue;
            const int64_t i = int64_t(y) * view.width + x;
            if (face_ids[i] >= 0 && (z > depth[i] || (z == depth[i] && face > face_ids[i]))) continue;
            face_ids[i] = face, depth[i] = z;
            const double inverse = 1 / sum;
            barycentrics[3 * i] = Real(a * inverse), barycentrics[3 * i + 1] = Real(b * inverse), barycentrics[3 * i + 2] = Real(c * inverse);
        }
    }
}

// Whether the edge counts between neighbours along this axis, steep ones along rows and flat ones along columns so that none
// counts twice, and is a silhouette: the face across it lies on the same side of it as `third`, as seen by the camera.
template <class Real>
bool folds(const MeshView<Real>& view, int along, int32_t a, int32_t b, int32_t third, int32_t opposite) {
    double line[3];
    side(view, a, b, line);
    if ((std::abs(line[0]) >= std::abs(line[1])) != (along == 0)) return false;
    if (opposite < 0) return true;
    const Real *p = view.q + 3 * int64_t(third), *r = view.q + 3 * int64_t(opposite);
    const double inside = line[0] * p[0] + line[1] * p[1] + line[2] * p[2], outside = line[0] * r[0] + line[1] * r[1] + line[2] * r[2];
    // A vertex behind the camera projects to the other side.
    return (inside * (p[2] < 0 ? -1 : 1) > 0) == (outside * (r[2] < 0 ? -1 : 1) > 0);
}

// Visits the silhouettes between the pixels of row y and their right and lower neighbours.
template <class Real, class Visit>
void row_silhouettes(const AntialiasArgs<Real>& args, int y, const Visit& visit) {
    const MeshView<Real>& view = args.view;
    for (int x = 0; x < view.width; ++x)
        for (int along = 0; along < 2; ++along) {
            if ((along == 0 ? x + 1 >= view.width : y + 1 >= view.height)) continue;
            const int64_t first = int64_t(y) * view.width + x, second = first + (along == 0 ? 1 : view.width);
            if (args.face_ids[first] == args.face_ids[second]) continue;
            const bool first_near = args.face_ids[second] < 0 || (args.face_ids[first] >= 0 && args.depth[first] <= args.depth[second]);
            const int64_t near = first_near ? first : second, far = first_near ? second : first;
            const int32_t face = args.face_ids[near];
            const int32_t* f = view.index + 3 * int64_t(face);
            const Real start = (along == 0 ? x : y) + Real(0.5), across = (along == 0 ? y : x) + Real(0.5);
            for (int i = 0; i < 3; ++i) {
                const int32_t a = f[(i + 1) % 3], b = f[(i + 2) % 3];
                Real place;
                if (!edge_crossing(view.q + 3 * int64_t(a), view.q + 3 * int64_t(b), along, across, view.near, place)) continue;
                if (place < start || place > start + 1) continue;
                if (!folds(view, along, a, b, f[i], args.opposite[3 * int64_t(face) + i])) continue;
                visit(Silhouette{a, b, int32_t(near), int32_t(far)});
                break;  // one edge per pair of pixels
            }
        }
}

// The blend of a silhouette: `into` takes `share` of `from`; direction is d share / d place.
template <class Real>
struct Blend {
    int64_t into, from;
    int along;
    Real across, place, share, direction;

    Blend(const MeshView<Real>& view, const Silhouette& s) {
        const int64_t low = std::min(s.near_pixel, s.far_pixel);
        along = std::abs(int64_t(s.near_pixel) - s.far_pixel) == 1 && view.width > 1 ? 0 : 1;
        const int x = int(low % view.width), y = int(low / view.width);
        across = (along == 0 ? y : x) + Real(0.5);
        const Real start = (along == 0 ? x : y) + Real(0.5);
        place = start;
        edge_crossing(view.q + 3 * int64_t(s.a), view.q + 3 * int64_t(s.b), along, across, view.near, place);
        // How far the nearer surface reaches from its own pixel's centre, in [0, 1].
        const Real outward = low == s.near_pixel ? Real(1) : Real(-1);
        const Real reach = low == s.near_pixel ? place - start : start + 1 - place;
        const bool spills = reach > Real(0.5);
        into = spills ? s.far_pixel : s.near_pixel, from = spills ? s.near_pixel : s.far_pixel;
        share = spills ? reach - Real(0.5) : Real(0.5) - reach;
        direction = spills ? outward : -outward;
    }
};

}  // namespace

template <class Real>
void mesh_rasterize(const MeshView<Real>& view, int32_t* face_ids, Real* depth, Real* barycentrics) {
    const int tiles_x = (view.width + kMeshTile - 1) / kMeshTile, tiles_y = (view.height + kMeshTile - 1) / kMeshTile;
    const int64_t tiles = int64_t(tiles_x) * tiles_y;
    std::vector<int64_t> next(size_t(kChunks * tiles + 1));
    const auto visit = [&](int64_t chunk, const auto& body) {
        for (int64_t f = view.faces * chunk / kChunks; f < view.faces * (chunk + 1) / kChunks; ++f) {
            const Box box = bounds(view, view.index + 3 * f);
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
        const Box tile = {tx * kMeshTile, std::min(view.width, (tx + 1) * kMeshTile), ty * kMeshTile, std::min(view.height, (ty + 1) * kMeshTile)};
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
        row_silhouettes(args, int(y), [&](const Silhouette& s) {
            if (found) found[next] = s;
            ++next;
        });
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
