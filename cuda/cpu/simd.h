// Sixteen lanes of float or double, as 16 / LANES hardware vectors.
//
// Built on the compiler's vector extensions, so one source serves every instruction set; intrinsics appear only where
// the extensions have no word (square root, mask to bits). Sixteen everywhere, because a block of the rasteriser is
// 4x4 pixels: on narrower machines a pack is two or four registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "recon/math.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kLanes = 16;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class Real>
struct IntegerOf;
template <>
struct IntegerOf<float> {
    using type = int32_t;
};
template <>
struct IntegerOf<double> {
    using type = int64_t;
};

#define RECON_EACH for (int i_ = 0; i_ < kParts; ++i_)

template <class Real>
struct PackShape {
    static constexpr int kWidth = kVectorBytes / int(sizeof(Real));  // lanes of one register
    static constexpr int kParts = kLanes / kWidth;
    using Int = typename IntegerOf<Real>::type;
    typedef Real Vector __attribute__((vector_size(kVectorBytes)));
    typedef Int IntVector __attribute__((vector_size(kVectorBytes)));
    typedef uint32_t BitVector __attribute__((vector_size(kVectorBytes)));  // of floats: its arithmetic wraps around
};

// Lane-wise truth: all ones or all zeros, as the extensions' comparisons give it.
template <class Real>
struct PackMask : PackShape<Real> {
    using Shape = PackShape<Real>;
    using Shape::kParts;
    typename Shape::IntVector m[kParts];

    friend RECON_HD PackMask operator&(PackMask a, PackMask b) {
        PackMask r;
        RECON_EACH r.m[i_] = a.m[i_] & b.m[i_];
        return r;
    }
    friend RECON_HD PackMask operator|(PackMask a, PackMask b) {
        PackMask r;
        RECON_EACH r.m[i_] = a.m[i_] | b.m[i_];
        return r;
    }
    friend RECON_HD PackMask operator~(PackMask a) {
        PackMask r;
        RECON_EACH r.m[i_] = ~a.m[i_];
        return r;
    }
    // Bit l is lane l.
    RECON_HD uint32_t bits() const {
        uint32_t r = 0;
        RECON_EACH {
            uint32_t part = 0;
#if defined(__AVX512DQ__)
            if constexpr (sizeof(Real) == 4)
                part = _mm512_movepi32_mask((__m512i)m[i_]);
            else
                part = _mm512_movepi64_mask((__m512i)m[i_]);
#elif defined(__AVX2__)
            if constexpr (sizeof(Real) == 4)
                part = uint32_t(_mm256_movemask_ps((__m256)m[i_]));
            else
                part = uint32_t(_mm256_movemask_pd((__m256d)m[i_]));
#elif defined(__SSE2__)
            if constexpr (sizeof(Real) == 4)
                part = uint32_t(_mm_movemask_ps((__m128)m[i_]));
            else
                part = uint32_t(_mm_movemask_pd((__m128d)m[i_]));
#else
            for (int l = 0; l < Shape::kWidth; ++l) part |= uint32_t(m[i_][l] & 1) << l;
#endif
            r |= part << (i_ * Shape::kWidth);
        }
        return r;
    }
};

template <class Real>
struct Pack : PackShape<Real> {
    using Shape = PackShape<Real>;
    using Shape::kParts;
    using Shape::kWidth;
    using Vector = typename Shape::Vector;
    using IntVector = typename Shape::IntVector;
    using Int = typename Shape::Int;
    Vector v[kParts];

    Pack() = default;
    RECON_HD explicit Pack(Real x) { RECON_EACH v[i_] = Vector{} + x; }

    static RECON_HD Pack load(const Real* p) {
        Pack r;
        std::memcpy(r.v, p, sizeof(r.v));
        return r;
    }
    RECON_HD void store(Real* p) const { std::memcpy(p, v, sizeof(v)); }
    // Lane l reads p[l * stride]; lanes from `count` on repeat the last one that exists.
    static RECON_HD Pack gather(const Real* p, int64_t stride, int count) {
        alignas(64) Real lanes[kLanes];
        if (count == kLanes)
            for (int l = 0; l < kLanes; ++l) lanes[l] = p[l * stride];
        else
            for (int l = 0; l < kLanes; ++l) lanes[l] = p[(l < count ? l : count - 1) * stride];
        return load(lanes);
    }
    // Lane l < count writes p[l * stride].
    RECON_HD void scatter(Real* p, int64_t stride, int count) const {
        alignas(64) Real lanes[kLanes];
        store(lanes);
        for (int l = 0; l < count; ++l) p[l * stride] = lanes[l];
    }
    RECON_HD Real operator[](int lane) const { return v[lane / kWidth][lane % kWidth]; }

#define RECON_BINARY(op)                                    \
    friend RECON_HD Pack operator op(Pack a, Pack b) {      \
        Pack r;                                             \
        RECON_EACH r.v[i_] = a.v[i_] op b.v[i_];            \
        return r;                                           \
    }                                                       \
    friend RECON_HD Pack operator op(Pack a, Real b) { return a op Pack(b); } \
    friend RECON_HD Pack operator op(Real a, Pack b) { return Pack(a) op b; }
    RECON_BINARY(+)
    RECON_BINARY(-)
    RECON_BINARY(*)
    RECON_BINARY(/)
#undef RECON_BINARY
    friend RECON_HD Pack operator-(Pack a) {
        Pack r;
        RECON_EACH r.v[i_] = -a.v[i_];
        return r;
    }

#define RECON_COMPARE(op)                                          \
    friend RECON_HD PackMask<Real> operator op(Pack a, Pack b) {   \
        PackMask<Real> r;                                          \
        RECON_EACH r.m[i_] = a.v[i_] op b.v[i_];                   \
        return r;                                                  \
    }
    RECON_COMPARE(<)
    RECON_COMPARE(<=)
    RECON_COMPARE(>)
    RECON_COMPARE(>=)
#undef RECON_COMPARE
};

template <class Real>
struct ScalarOf<Pack<Real>> {
    using type = Real;
};
template <class Real>
struct MaskOf<Pack<Real>> {
    using type = PackMask<Real>;
};

template <class Real>
RECON_HD bool any(PackMask<Real> mask) {
    return mask.bits() != 0;
}

template <class Real>
RECON_HD Pack<Real> select(PackMask<Real> mask, Pack<Real> a, Pack<Real> b) {
    constexpr int kParts = Pack<Real>::kParts;
    Pack<Real> r;
    RECON_EACH r.v[i_] = mask.m[i_] ? a.v[i_] : b.v[i_];
    return r;
}

template <class Real>
RECON_HD Pack<Real> sqrt(Pack<Real> x) {
    using P = Pack<Real>;
    constexpr int kParts = P::kParts;
    P r;
    RECON_EACH {
#if defined(__AVX512F__)
        if constexpr (sizeof(Real) == 4)
            r.v[i_] = (typename P::Vector)_mm512_sqrt_ps((__m512)x.v[i_]);
        else
            r.v[i_] = (typename P::Vector)_mm512_sqrt_pd((__m512d)x.v[i_]);
#elif defined(__AVX2__)
        if constexpr (sizeof(Real) == 4)
            r.v[i_] = (typename P::Vector)_mm256_sqrt_ps((__m256)x.v[i_]);
        else
            r.v[i_] = (typename P::Vector)_mm256_sqrt_pd((__m256d)x.v[i_]);
#elif defined(__SSE2__)
        if constexpr (sizeof(Real) == 4)
            r.v[i_] = (typename P::Vector)_mm_sqrt_ps((__m128)x.v[i_]);
        else
            r.v[i_] = (typename P::Vector)_mm_sqrt_pd((__m128d)x.v[i_]);
#else
        for (int l = 0; l < P::kWidth; ++l) r.v[i_][l] = sqrt(Real(x.v[i_][l]));
#endif
    }
    return r;
}

template <class Real>
RECON_HD Pack<Real> abs(Pack<Real> x) {
    return max(x, -x);
}

#if defined(__AVX512F__)
// The extensions' `a < b ? a : b` costs a compare and a blend; these are one instruction.
RECON_HD Pack<float> min(Pack<float> a, Pack<float> b) {
    Pack<float> r;
    r.v[0] = (Pack<float>::Vector)_mm512_min_ps((__m512)a.v[0], (__m512)b.v[0]);
    return r;
}
RECON_HD Pack<float> max(Pack<float> a, Pack<float> b) {
    Pack<float> r;
    r.v[0] = (Pack<float>::Vector)_mm512_max_ps((__m512)a.v[0], (__m512)b.v[0]);
    return r;
}
#endif

// 2^x for |x| < 120 without range checks; relative error below 2e-7 (degree-5 minimax polynomial on [-0.5, 0.5]).
RECON_HD Pack<float> exp2_unchecked(Pack<float> x) {
    using P = Pack<float>;
    constexpr int kParts = P::kParts;
    P r;
    RECON_EACH {
        // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, whose bits are then at the bottom.
        const P::Vector shifted = x.v[i_] + 12582912.0f;
        const P::Vector f = x.v[i_] - (shifted - 12582912.0f);
        P::Vector p = f * 1.3264726e-3f + 9.671513e-3f;
        p = p * f + 5.5507336e-2f;
        p = p * f + 2.4022242e-1f;
        p = p * f + 6.93147e-1f;
        p = p * f + 1.0f;
        r.v[i_] = (P::Vector)((P::BitVector)p + ((P::BitVector)shifted << 23));
    }
    return r;
}
RECON_HD Pack<double> exp2_unchecked(Pack<double> x) {
    alignas(64) double lanes[kLanes];
    x.store(lanes);
    for (double& lane : lanes) lane = ::exp2(lane);
    return Pack<double>::load(lanes);
}

template <class Real>
RECON_HD Pack<Real> exp(Pack<Real> x) {
    const Pack<Real> y = x * Pack<Real>(Real(1.4426950408889634));
    return exp2_unchecked(clamp(y, Pack<Real>(Real(-125)), Pack<Real>(Real(125))));
}

// log2 of positive normal numbers: the exponent, and a degree-7 minimax polynomial of the rest, which is in [2/3, 4/3).
// Relative error below 1.2e-6 near 1, absolute error below 5e-7 elsewhere plus the rounding of the sum.
RECON_HD Pack<float> log2(Pack<float> x) {
    using P = Pack<float>;
    constexpr int kParts = P::kParts;
    P r;
    RECON_EACH {
        const P::BitVector bits = (P::BitVector)x.v[i_];
        const P::IntVector exponent = (P::IntVector)(bits - 0x3f2aaaabu) >> 23;
        const P::Vector t = (P::Vector)(bits - ((P::BitVector)exponent << 23)) - 1.0f;
        P::Vector p = t * 2.46199923e-1f + -2.79993745e-1f;
        p = p * t + 2.85692405e-1f;
        p = p * t + -3.58389373e-1f;
        p = p * t + 4.8096091e-1f;
        p = p * t + -7.21379872e-1f;
        p = p * t + 1.44269483f;
        r.v[i_] = p * t + __builtin_convertvector(exponent, P::Vector);
    }
    return r;
}
RECON_HD Pack<double> log2(Pack<double> x) {
    alignas(64) double lanes[kLanes];
    x.store(lanes);
    for (double& lane : lanes) lane = ::log2(lane);
    return Pack<double>::load(lanes);
}

// 1 / x, for x in the normal range; float: a hardware estimate and one Newton step (relative error below 2e-7).
template <class Real>
RECON_HD Pack<Real> reciprocal(Pack<Real> x) {
#if defined(__AVX512F__)
    if constexpr (sizeof(Real) == 4) {
        Pack<Real> r;
        r.v[0] = (typename Pack<Real>::Vector)_mm512_rcp14_ps((__m512)x.v[0]);
        return r * (Pack<Real>(Real(2)) - x * r);
    }
#endif
    return Pack<Real>(Real(1)) / x;
}

namespace detail {
#if defined(__clang__)
#define RECON_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define RECON_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, IntVector{__VA_ARGS__})
#endif
// Lanes without bit H hold sums of neighbours of a, lanes with it those of b.
template <class Real, int H, int... I>
RECON_HD typename PackShape<Real>::Vector fold(typename PackShape<Real>::Vector a, typename PackShape<Real>::Vector b,
                                               std::integer_sequence<int, I...>) {
    using IntVector [[maybe_unused]] = typename PackShape<Real>::IntVector;
    constexpr int W = PackShape<Real>::kWidth;
    const auto keep = RECON_SHUFFLE(a, b, ((I & H) ? W + I : I)...);
    const auto move = RECON_SHUFFLE(a, b, ((I & H) ? W + I - H : I + H)...);
    return keep + move;
}
template <class Real, int H>
RECON_HD void fold_all(typename PackShape<Real>::Vector* q, int& n) {
    constexpr int W = PackShape<Real>::kWidth;
    if constexpr (H < W) {
        for (int i = 0; i < W / (2 * H); ++i)
            if (2 * i < n) q[i] = fold<Real, H>(q[2 * i], q[2 * i + 1 < n ? 2 * i + 1 : 2 * i], std::make_integer_sequence<int, W>{});
        n = (n + 1) / 2;
        fold_all<Real, 2 * H>(q, n);
    }
}
}  // namespace detail

// out[k] = sum over the lanes of q[k], k < N, by a transposed tree: three instructions per pair and level.
template <int N, class Real>
RECON_HD void sum_lanes(const Pack<Real>* q, Real* out) {
    using P = Pack<Real>;
    constexpr int W = P::kWidth;
    for (int base = 0; base < N; base += W) {
        typename P::Vector part[W] = {};
        const int n = N - base < W ? N - base : W;
        for (int k = 0; k < n; ++k) {
            part[k] = q[base + k].v[0];
            for (int p = 1; p < P::kParts; ++p) part[k] = part[k] + q[base + k].v[p];
        }
        int left = n;
        detail::fold_all<Real, 1>(part, left);
        std::memcpy(out + base, &part[0], size_t(n) * sizeof(Real));
    }
}

}  // namespace RECON_ISA
}  // namespace recon
