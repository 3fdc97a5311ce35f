// Real spherical harmonics up to degree 3: values and derivatives with respect to the direction.
// Order and signs are those of the INRIA splat format (Sloan 2008, appendix A2, with the Condon-Shortley phase).
#pragma once

#include "recon/math.h"

namespace recon {
inline namespace RECON_ISA {

constexpr int kMaxShCoefficients = 16;

// basis[j] at the unit vector d, for j < (degree + 1)^2.
template <class T>
RECON_HD void sh_basis(int degree, const Vec3<T>& d, T* basis) {
    const T x = d.x, y = d.y, z = d.z;
    basis[0] = constant<T>(0.28209479177387814);
    if (degree < 1) return;
    const T c1 = constant<T>(0.4886025119029199);
    basis[1] = -(c1 * y);
    basis[2] = c1 * z;
    basis[3] = -(c1 * x);
    if (degree < 2) return;
    const T xx = x * x, yy = y * y, zz = z * z;
    basis[4] = constant<T>(1.0925484305920792) * x * y;
    basis[5] = constant<T>(-1.0925484305920792) * y * z;
    basis[6] = constant<T>(0.31539156525252005) * (constant<T>(2) * zz - xx - yy);
    basis[7] = constant<T>(-1.0925484305920792) * x * z;
    basis[8] = constant<T>(0.5462742152960396) * (xx - yy);
    if (degree < 3) return;
    const T three = constant<T>(3), four = constant<T>(4);
    basis[9] = constant<T>(-0.5900435899266435) * y * (three * xx - yy);
    basis[10] = constant<T>(2.890611442640554) * x * y * z;
    basis[11] = constant<T>(-0.4570457994644658) * y * (four * zz - xx - yy);
    basis[12] = constant<T>(0.3731763325901154) * z * (constant<T>(2) * zz - three * (xx + yy));
    basis[13] = constant<T>(-0.4570457994644658) * x * (four * zz - xx - yy);
    basis[14] = constant<T>(1.445305721320277) * z * (xx - yy);
    basis[15] = constant<T>(-0.5900435899266435) * x * (xx - three * yy);
}

// Sum over j of v_basis[j] * d basis[j] / d direction, the direction taken as three free coordinates.
template <class T>
RECON_HD Vec3<T> sh_basis_vjp(int degree, const Vec3<T>& d, const T* v) {
    const T zero = constant<T>(0);
    Vec3<T> g{zero, zero, zero};
    if (degree < 1) return g;
    const T x = d.x, y = d.y, z = d.z;
    const T c1 = constant<T>(0.4886025119029199);
    g.y = g.y - c1 * v[1];
    g.z = g.z + c1 * v[2];
    g.x = g.x - c1 * v[3];
    if (degree < 2) return g;
    const T two = constant<T>(2);
    const T a = constant<T>(1.0925484305920792);
    const T v6 = constant<T>(0.31539156525252005) * v[6], v8 = constant<T>(0.5462742152960396) * v[8];
    g.x = g.x + a * (y * v[4] - z * v[7]) - two * x * (v6 - v8);
    g.y = g.y + a * (x * v[4] - z * v[5]) - two * y * (v6 + v8);
    g.z = g.z - a * (y * v[5] + x * v[7]) + constant<T>(4) * z * v6;
    if (degree < 3) return g;
    const T xx = x * x, yy = y * y, zz = z * z, xy = x * y, yz = y * z, xz = x * z;
    const T three = constant<T>(3), four = constant<T>(4), six = constant<T>(6), eight = constant<T>(8);
    const T v9 = constant<T>(-0.5900435899266435) * v[9], v15 = constant<T>(-0.5900435899266435) * v[15];
    const T v10 = constant<T>(2.890611442640554) * v[10];
    const T v11 = constant<T>(-0.4570457994644658) * v[11], v13 = constant<T>(-0.4570457994644658) * v[13];
    const T v12 = constant<T>(0.3731763325901154) * v[12], v14 = constant<T>(1.445305721320277) * v[14];
    g.x = g.x + six * xy * v9 + yz * v10 - two * xy * v11 - six * xz * v12 + (four * zz - three * xx - yy) * v13 +
          two * xz * v14 + three * (xx - yy) * v15;
    g.y = g.y + three * (xx - yy) * v9 + xz * v10 + (four * zz - xx - three * yy) * v11 - six * yz * v12 -
          two * xy * v13 - two * yz * v14 - six * xy * v15;
    g.z = g.z + xy * v10 + eight * yz * v11 + three * (two * zz - xx - yy) * v12 + eight * xz * v13 + (xx - yy) * v14;
    return g;
}

}  // namespace RECON_ISA
}  // namespace recon
