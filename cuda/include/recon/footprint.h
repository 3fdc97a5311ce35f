// What a primitive looks like on the image, and what every family must say about it.
//
// A family is a struct of constants and static functions, written once against a type T that is float (CUDA), a pack of
// sixteen lanes (CPU), double or a dual number (tests). Its alpha at a pixel is alpha = opacity * weight, and the drivers
// know nothing else about it:
//
//   kName                    name in Python
//   kParameters, width(k)    parameter tensors [N, width], in the order of the flat array `values`; kValues is their sum
//   kRecord                  length of the record that a pixel reads; record[0..2] are x, y (px) and z; a multiple of 4
//   kMoments                 length of the sums over pixels that the gradient needs; sums[0] is that of `slope`
//   kPixelDepth              depth varies over the footprint (else it is record[2])
//   kDear                    alpha costs much more than evaluate: worth asking first whether any pixel is touched
//   kThreshold               a pixel is touched where sample.key >= kThreshold, which is where alpha >= kMinAlpha
//   project                  values, camera -> Footprint
//   project_vjp              gradients of the record's moments, depth and normal -> those of values and camera
//   center, center_vjp       the point that colours are seen from, and depth channels stand for; world
//   may_reach                can alpha reach kMinAlpha in a rectangle of pixel centres? never wrongly no
//   evaluate                 record, pixel -> Sample with the key (cheap)
//   alpha                    the unclamped alpha where touched (may be dear); may complete the sample
//   accumulate               adds slope = dL / d ln alpha of one pixel to the sums
//   shift                    d ln alpha / d (x, y) of the whole footprint at a pixel
//   depth, accumulate_depth  only with kPixelDepth: z at a pixel, and its gradient into the sums
#pragma once

#include "recon/camera.h"

namespace recon {
inline namespace RECON_ISA {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;
constexpr double kMinAlpha = 1.0 / 255.0;             // a primitive adds nothing to a pixel below this
constexpr double kLog2MinAlpha = -7.994353436858858;  // log2 of it
constexpr double kMinTransmittance = 1e-4;            // a pixel is finished when the next primitive would leave less
constexpr double kEverywhere = 1e8;                   // px: half extent of a footprint without a bound
constexpr double kFarthest = 1e9;                     // px: beyond this positions are not trusted

template <class T, int Record>
struct Footprint {
    T record[Record];
    T left, right, top, bottom;  // px: the box outside of which alpha < kMinAlpha
    Vec3<T> normal;              // world, unit length, towards the camera
    Mask<T> visible;             // in front of the camera, finite, and opaque enough somewhere
};

template <class T, int Moments>
struct FootprintGradient {
    T moments[Moments];
    T depth;         // of record[2]
    Vec3<T> normal;
};

// log2(opacity), finite for an opacity of 0.
template <class T>
RECON_HD T log2_opacity(T opacity) {
    return log2(max(opacity, constant<T>(1e-30)));
}

// Smallest value over the rectangle [x0, x1] x [y0, y1] (relative to the centre) of A dx^2 + B dx dy + C dy^2.
// The minimum of a convex quadratic over a box that does not hold its centre lies on an edge that faces it.
template <class T, class S>
RECON_HD T min_quadratic_over_box(S A, S B, S C, S minus_b_over_2a, S minus_b_over_2c, T x0, T x1, T y0, T y1) {
    const T zero = constant<T>(0);
    const T near_x = clamp(zero, x0, x1), near_y = clamp(zero, y0, y1);
    const T y = clamp(minus_b_over_2c * near_x, y0, y1), x = clamp(minus_b_over_2a * near_y, x0, x1);
    const T on_vertical = near_x * (A * near_x + B * y) + C * y * y;
    const T on_horizontal = x * (A * x + B * near_y) + C * near_y * near_y;
    return min(on_vertical, on_horizontal);
}

}  // namespace RECON_ISA
}  // namespace recon
