// Scalar-generic maths that g++, clang++ and nvcc all compile.
//
// Every formula of the core is written once, against a type T that is float or double (CUDA, native tests), a dual
// number (tests/dual.h, which checks each hand-written derivative) or a pack of 16 lanes (cpu/simd.h). T must offer
// the arithmetic operators, comparisons that yield MaskOf<T>, and the overloads of select, exp, log2, sqrt, abs, min
// and max below. There are no branches on values: `select` keeps one path for all lanes.
#pragma once

#include <cmath>

#ifdef __CUDACC__
#define RECON_HD __host__ __device__ __forceinline__
#else
#define RECON_HD inline __attribute__((always_inline))
#endif

// Each translation unit may be compiled for another instruction set. The inline namespace keeps their instantiations
// apart, so that the linker cannot merge an AVX-512 copy of a template into code that runs on an older machine.
#ifndef RECON_ISA
#define RECON_ISA base
#endif

namespace recon {
inline namespace RECON_ISA {

// The plain floating-point type beneath T, used for uniform values such as camera parameters.
template <class T>
struct ScalarOf {
    using type = T;
};
template <class T>
using Scalar = typename ScalarOf<T>::type;

template <class T>
struct MaskOf {
    using type = bool;
};
template <class T>
using Mask = typename MaskOf<T>::type;

RECON_HD float select(bool mask, float a, float b) { return mask ? a : b; }
RECON_HD double select(bool mask, double a, double b) { return mask ? a : b; }
RECON_HD float exp(float x) { return ::expf(x); }
RECON_HD double exp(double x) { return ::exp(x); }
RECON_HD float log2(float x) { return ::log2f(x); }
RECON_HD double log2(double x) { return ::log2(x); }
RECON_HD float sqrt(float x) { return ::sqrtf(x); }
RECON_HD double sqrt(double x) { return ::sqrt(x); }
// 2^x and 1 / x in the inner loop; the packs of the CPU have cheaper versions for the ranges that occur there.
RECON_HD float exp2_unchecked(float x) { return ::exp2f(x); }
RECON_HD double exp2_unchecked(double x) { return ::exp2(x); }
RECON_HD float reciprocal(float x) { return 1.0f / x; }
RECON_HD double reciprocal(double x) { return 1.0 / x; }
RECON_HD bool any(bool mask) { return mask; }
RECON_HD float abs(float x) { return ::fabsf(x); }
RECON_HD double abs(double x) { return ::fabs(x); }

template <class T>
RECON_HD T min(T a, T b) {
    return select(a < b, a, b);
}
template <class T>
RECON_HD T max(T a, T b) {
    return select(a > b, a, b);
}
template <class T>
RECON_HD T clamp(T x, T low, T high) {
    return min(max(x, low), high);
}
// A uniform constant as a T.
template <class T>
RECON_HD T constant(double value) {
    return T(Scalar<T>(value));
}
template <class T>
RECON_HD T sigmoid(T x) {
    return constant<T>(1) / (constant<T>(1) + exp(-x));
}

template <class T>
struct Vec3 {
    T x, y, z;
};
template <class T>
RECON_HD Vec3<T> operator+(const Vec3<T>& a, const Vec3<T>& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class T>
RECON_HD Vec3<T> operator-(const Vec3<T>& a, const Vec3<T>& b) {
    return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class S, class T>
RECON_HD auto operator*(const S& s, const Vec3<T>& a) -> Vec3<decltype(s * a.x)> {
    return {s * a.x, s * a.y, s * a.z};
}
template <class A, class B>
RECON_HD auto dot(const Vec3<A>& a, const Vec3<B>& b) -> decltype(a.x * b.x) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class T>
RECON_HD Vec3<T> cross(const Vec3<T>& a, const Vec3<T>& b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Row-major 3x3 matrix.
template <class T>
struct Mat3 {
    T m[3][3];

    RECON_HD Vec3<T> row(int i) const { return {m[i][0], m[i][1], m[i][2]}; }
    RECON_HD Vec3<T> column(int k) const { return {m[0][k], m[1][k], m[2][k]}; }
};
template <class S, class T>
RECON_HD auto multiply(const Mat3<S>& a, const Vec3<T>& v) -> Vec3<decltype(a.m[0][0] * v.x)> {
    return {dot(a.row(0), v), dot(a.row(1), v), dot(a.row(2), v)};
}
template <class S, class T>
RECON_HD auto multiply_transposed(const Mat3<S>& a, const Vec3<T>& v) -> Vec3<decltype(a.m[0][0] * v.x)> {
    return {dot(a.column(0), v), dot(a.column(1), v), dot(a.column(2), v)};
}

}  // namespace RECON_ISA
}  // namespace recon
