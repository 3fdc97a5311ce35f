// Forward-mode dual numbers: value and one directional derivative. They check hand-written derivatives exactly.
#pragma once

#include "recon/math.h"

namespace recon {
inline namespace RECON_ISA {

struct Dual {
    double value = 0, slope = 0;

    Dual() = default;
    Dual(double v) : value(v) {}
    Dual(double v, double s) : value(v), slope(s) {}

    friend Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
    friend Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
    friend Dual operator-(Dual a) { return {-a.value, -a.slope}; }
    friend Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }
    friend Dual operator/(Dual a, Dual b) {
        return {a.value / b.value, (a.slope * b.value - a.value * b.slope) / (b.value * b.value)};
    }
    friend bool operator<(Dual a, Dual b) { return a.value < b.value; }
    friend bool operator<=(Dual a, Dual b) { return a.value <= b.value; }
    friend bool operator>(Dual a, Dual b) { return a.value > b.value; }
    friend bool operator>=(Dual a, Dual b) { return a.value >= b.value; }
};

inline Dual select(bool mask, Dual a, Dual b) { return mask ? a : b; }
inline Dual exp(Dual x) { return {::exp(x.value), ::exp(x.value) * x.slope}; }
inline Dual exp2_unchecked(Dual x) { return {::exp2(x.value), ::exp2(x.value) * 0.6931471805599453 * x.slope}; }
inline Dual reciprocal(Dual x) { return Dual(1) / x; }
inline Dual log2(Dual x) { return {::log2(x.value), x.slope / (x.value * 0.6931471805599453)}; }
inline Dual sqrt(Dual x) { return {::sqrt(x.value), 0.5 * x.slope / ::sqrt(x.value)}; }
inline Dual abs(Dual x) { return x.value < 0 ? -x : x; }

}  // namespace RECON_ISA
}  // namespace recon
