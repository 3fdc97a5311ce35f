// The mesh rasteriser's passes. Drawing: a warp owns a triangle in a band of rows, its lanes take the pixels of the triangle's
// box in turn, and the nearest surface of a pixel is the least of 64-bit keys: depth, then face. Everything else: a thread owns
// a pixel, or a pixel and one of its two neighbours. What adds up over pixels does so in no fixed order.
#pragma once

#include "gpu/simt.h"
#include "recon/mesh_pixels.h"

namespace recon::gpu {

constexpr int kMeshThreads = 128, kBand = 64;
constexpr uint64_t kNothing = ~uint64_t(0);

inline int64_t mesh_blocks(int64_t threads) { return (threads + kMeshThreads - 1) / kMeshThreads; }
RECON_DEVICE int64_t mesh_thread() { return int64_t(blockIdx.x) * kMeshThreads + threadIdx.x; }

// keys: [H, W]
RECON_KERNEL mesh_draw_kernel(MeshView<float> view, uint64_t* keys) {
    const int64_t warp = mesh_thread() / 32;
    const int bands = (view.height + kBand - 1) / kBand;
    const int64_t face = warp / bands;
    if (face >= view.faces) return;
    const int first = int(warp - face * bands) * kBand, end = first + kBand;
    const PixelBox box = triangle_bounds(view, face);
    const int y0 = box.y0 > first ? box.y0 : first, y1 = box.y1 < end ? box.y1 : end;
    if (box.x0 >= box.x1 || y0 >= y1) return;
    const DrawnTriangle triangle(view, face);
    if (triangle.flat()) return;
    const int width = box.x1 - box.x0, count = width * (y1 - y0);
    for (int i = simt::lane(); i < count; i += 32) {
        const int y = y0 + i / width, x = box.x0 + i % width;
        union {
            float z;
            uint32_t bits;  // depths are positive, and ordered like integers
        } depth;
        double a[3], sum;
        if (!triangle.covers(x, y, view.near, depth.z, a, sum)) continue;
        simt::offer_least(keys + int64_t(y) * view.width + x, uint64_t(depth.bits) << 32 | uint64_t(face));
    }
}

// Of every pixel's key the face, depth [H, W] and barycentrics [H, W, 3].
RECON_KERNEL mesh_resolve_kernel(MeshView<float> view, const uint64_t* keys, int32_t* face_ids, float* depth, float* barycentrics) {
    const int64_t i = mesh_thread();
    if (i >= int64_t(view.width) * view.height) return;
    const uint64_t key = keys[i];
    float z = 0;
    double a[3] = {0, 0, 0}, sum = 1;
    if (key != kNothing) {
        const int y = int(i / view.width), x = int(i - int64_t(y) * view.width);
        DrawnTriangle(view, int64_t(key & 0xffffffffu)).covers(x, y, view.near, z, a, sum);
    }
    face_ids[i] = key == kNothing ? -1 : int32_t(key & 0xffffffffu);
    depth[i] = z;
    for (int k = 0; k < 3; ++k) barycentrics[3 * i + k] = float(a[k] / sum);
}

// keys: [H, W] of scratch.   The others as on the CPU.
inline void mesh_rasterize(const MeshView<float>& view, uint64_t* keys, int32_t* face_ids, float* depth, float* barycentrics, void* stream) {
    const int64_t pixels = int64_t(view.width) * view.height, bands = (view.height + kBand - 1) / kBand;
    simt::fill_bytes(keys, 0xff, size_t(pixels) * sizeof(uint64_t), stream);
    RECON_LAUNCH(mesh_draw_kernel, mesh_blocks(32 * bands * view.faces), kMeshThreads, stream, view, keys);
    RECON_LAUNCH(mesh_resolve_kernel, mesh_blocks(pixels), kMeshThreads, stream, view, keys, face_ids, depth, barycentrics);
}

RECON_KERNEL mesh_backward_kernel(MeshView<float> view, const int32_t* face_ids, const float* v_depth, const float* v_barycentrics, float* v_q) {
    const int64_t i = mesh_thread();
    if (i >= int64_t(view.width) * view.height || face_ids[i] < 0) return;
    const int32_t* f = view.index + 3 * int64_t(face_ids[i]);
    const float* q[3];
    for (int k = 0; k < 3; ++k) q[k] = view.q + 3 * int64_t(f[k]);
    const int64_t y = i / view.width, x = i - y * view.width;
    const float none[3] = {0, 0, 0};
    float sum[3][3] = {};
    triangle_pixel_gradient(q, float(x) + 0.5f, float(y) + 0.5f, v_barycentrics ? v_barycentrics + 3 * i : none, v_depth ? v_depth[i] : 0.0f, sum);
    for (int k = 0; k < 3; ++k)
        for (int d = 0; d < 3; ++d) simt::add(v_q + 3 * int64_t(f[k]) + d, sum[k][d]);
}

// v_q [vertices, 3] is overwritten; v_depth and v_barycentrics may be null.
inline void mesh_rasterize_backward(const MeshView<float>& view, const int32_t* face_ids, const float* v_depth, const float* v_barycentrics,
                                    float* v_q, void* stream) {
    simt::fill_bytes(v_q, 0, size_t(view.vertices) * 3 * sizeof(float), stream);
    RECON_LAUNCH(mesh_backward_kernel, mesh_blocks(int64_t(view.width) * view.height), kMeshThreads, stream, view, face_ids, v_depth, v_barycentrics, v_q);
}

RECON_DEVICE int64_t attribute_row(const InterpolateArgs<float>& a, int64_t face, int corner) {
    return (a.index ? a.index[3 * face + corner] : 3 * face + corner) * int64_t(a.channels);
}

RECON_KERNEL interpolate_kernel(InterpolateArgs<float> a, float* out) {
    const int64_t p = mesh_thread();
    if (p >= a.pixels) return;
    const int64_t face = a.face_ids[p];
    for (int c = 0; c < a.channels; ++c) {
        float sum = 0;
        for (int k = 0; face >= 0 && k < 3; ++k) sum += a.barycentrics[3 * p + k] * a.attributes[attribute_row(a, face, k) + c];
        out[p * a.channels + c] = sum;
    }
}

inline void interpolate(const InterpolateArgs<float>& a, float* out, void* stream) {
    RECON_LAUNCH(interpolate_kernel, mesh_blocks(a.pixels), kMeshThreads, stream, a, out);
}

RECON_KERNEL interpolate_backward_kernel(InterpolateArgs<float> a, const float* v_out, float* v_attributes, float* v_barycentrics) {
    const int64_t p = mesh_thread();
    if (p >= a.pixels) return;
    const int64_t face = a.face_ids[p];
    for (int k = 0; k < 3; ++k) {
        float sum = 0;
        for (int c = 0; face >= 0 && c < a.channels; ++c) {
            const int64_t at = attribute_row(a, face, k) + c;
            const float v = v_out[p * a.channels + c];
            sum += a.attributes[at] * v;
            if (v_attributes) simt::add(v_attributes + at, a.barycentrics[3 * p + k] * v);
        }
        if (v_barycentrics) v_barycentrics[3 * p + k] = sum;
    }
}

// v_attributes [rows, channels] and v_barycentrics [pixels, 3] are overwritten; either may be null.
inline void interpolate_backward(const InterpolateArgs<float>& a, const float* v_out, float* v_attributes, float* v_barycentrics, void* stream) {
    if (v_attributes) simt::fill_bytes(v_attributes, 0, size_t(a.rows) * size_t(a.channels) * sizeof(float), stream);
    RECON_LAUNCH(interpolate_backward_kernel, mesh_blocks(a.pixels), kMeshThreads, stream, a, v_out, v_attributes, v_barycentrics);
}

RECON_KERNEL silhouette_kernel(AntialiasArgs<float> a, Silhouette* found) {
    const int64_t i = mesh_thread(), pixel = i / 2;
    if (pixel >= int64_t(a.view.width) * a.view.height) return;
    const int y = int(pixel / a.view.width), x = int(pixel - int64_t(y) * a.view.width);
    Silhouette one = {-1, -1, -1, -1};
    silhouette_between(a, x, y, int(i & 1), one);
    found[i] = one;
}

// found: [H, W, 2], towards the right and the lower neighbour; `a` is -1 where there is no silhouette.
inline void find_silhouettes(const AntialiasArgs<float>& a, Silhouette* found, void* stream) {
    RECON_LAUNCH(silhouette_kernel, mesh_blocks(2 * int64_t(a.view.width) * a.view.height), kMeshThreads, stream, a, found);
}

RECON_KERNEL antialias_kernel(MeshView<float> view, const Silhouette* found, int64_t count, const float* image, int channels, float* out) {
    const int64_t i = mesh_thread();
    if (i >= count || found[i].a < 0) return;
    const Blend<float> blend(view, found[i]);
    for (int c = 0; c < channels; ++c)
        simt::add(out + blend.into * channels + c, blend.share * (image[blend.from * channels + c] - image[blend.into * channels + c]));
}

// out starts as a copy of `image` [H, W, channels].
inline void antialias(const MeshView<float>& view, const Silhouette* found, int64_t count, const float* image, int channels, float* out, void* stream) {
    RECON_LAUNCH(antialias_kernel, mesh_blocks(count), kMeshThreads, stream, view, found, count, image, channels, out);
}

RECON_KERNEL antialias_backward_kernel(MeshView<float> view, const Silhouette* found, int64_t count, const float* image, int channels,
                                       const float* v_out, float* v_image, float* v_q) {
    const int64_t i = mesh_thread();
    if (i >= count || found[i].a < 0) return;
    const Silhouette edge = found[i];
    const Blend<float> blend(view, edge);
    float v_share = 0;
    for (int c = 0; c < channels; ++c) {
        const int64_t from = blend.from * channels + c, into = blend.into * channels + c;
        const float v = v_out[into];
        v_share += v * (image[from] - image[into]);
        simt::add(v_image + from, blend.share * v);
        simt::add(v_image + into, -blend.share * v);
    }
    const int64_t a = 3 * int64_t(edge.a), b = 3 * int64_t(edge.b);
    float v_a[3] = {0, 0, 0}, v_b[3] = {0, 0, 0};
    edge_crossing_gradient(view.q + a, view.q + b, blend.along, blend.across, blend.place, v_share * blend.direction, v_a, v_b);
    for (int d = 0; d < 3; ++d) simt::add(v_q + a + d, v_a[d]), simt::add(v_q + b + d, v_b[d]);
}

// v_image starts as a copy of v_out; v_q [vertices, 3] is overwritten.
inline void antialias_backward(const MeshView<float>& view, const Silhouette* found, int64_t count, const float* image, int channels,
                               const float* v_out, float* v_image, float* v_q, void* stream) {
    simt::fill_bytes(v_q, 0, size_t(view.vertices) * 3 * sizeof(float), stream);
    RECON_LAUNCH(antialias_backward_kernel, mesh_blocks(count), kMeshThreads, stream, view, found, count, image, channels, v_out, v_image, v_q);
}

}  // namespace recon::gpu
