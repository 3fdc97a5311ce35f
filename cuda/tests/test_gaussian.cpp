// The Gaussian footprint's hand-written gradient against dual numbers: for a direction u of all inputs and a weight w of
// all outputs, <w, J u> (dual) must equal <J^T w, u> (hand-written). Random scenes, both antialiasing settings.
#include <random>

#include "check.h"
#include "dual.h"
#include "recon/gaussian.h"

using namespace recon;

namespace {

constexpr int kInputs = 3 + 4 + 3 + 1 + 9 + 3;  // mean, quat, log_scale, opacity_logit, R, t

template <class T>
struct Inputs {
    Gaussian<T> gaussian;
    Camera<T> camera;
};

template <class T>
Inputs<T> unpack(const T* v, bool antialias) {
    Inputs<T> in;
    in.gaussian.mean = {v[0], v[1], v[2]};
    for (int i = 0; i < 4; ++i) in.gaussian.quat[i] = v[3 + i];
    in.gaussian.log_scale = {v[7], v[8], v[9]};
    in.gaussian.opacity_logit = v[10];
    for (int i = 0; i < 9; ++i) in.camera.R.m[i / 3][i % 3] = v[11 + i];
    in.camera.t = {v[20], v[21], v[22]};
    in.camera.fx = T(61), in.camera.fy = T(57), in.camera.cx = T(29), in.camera.cy = T(35);
    in.camera.near_plane = T(0.01), in.camera.far_plane = T(1e10), in.camera.eps2d = T(0.3);
    in.camera.antialias = antialias;
    finish_camera(in.camera, T(64), T(60));
    return in;
}

void test_footprint(unsigned seed, bool antialias) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    double x[kInputs], u[kInputs], w[10];
    for (double& value : u) value = normal(random);
    for (double& value : w) value = normal(random);
    for (int i = 0; i < 3; ++i) x[i] = normal(random) * (seed % 3 == 0 ? 3 : 0.7);  // some beyond the Jacobian's clamp
    for (int i = 0; i < 4; ++i) x[3 + i] = normal(random);
    for (int i = 0; i < 3; ++i) x[7 + i] = -1.5 + 0.6 * normal(random);
    x[10] = normal(random);
    const double c = std::cos(0.3), s = std::sin(0.3);
    const double R[9] = {c, 0, s, 0, 1, 0, -s, 0, c};
    for (int i = 0; i < 9; ++i) x[11 + i] = R[i] + 0.02 * normal(random);  // the gradient does not assume a rotation
    x[20] = 0.1, x[21] = -0.2, x[22] = 6.0;

    Dual dual[kInputs];
    for (int i = 0; i < kInputs; ++i) dual[i] = {x[i], u[i]};
    const Inputs<Dual> d = unpack(dual, antialias);
    const Footprint<Dual> f = gaussian_footprint(d.gaussian, d.camera);
    const Dual outputs[10] = {f.x, f.y, f.a, f.b, f.c, f.opacity, f.depth, f.normal.x, f.normal.y, f.normal.z};
    double forward = 0;
    for (int i = 0; i < 10; ++i) forward += w[i] * outputs[i].slope;

    const Inputs<double> in = unpack(x, antialias);
    const FootprintGradient<double> v = {w[0], w[1], w[2], w[3], w[4], w[5], w[6], {w[7], w[8], w[9]}};
    const GaussianGradient<double> g = gaussian_footprint_vjp(in.gaussian, in.camera, v);
    double backward = g.mean.x * u[0] + g.mean.y * u[1] + g.mean.z * u[2] + g.opacity_logit * u[10];
    for (int i = 0; i < 4; ++i) backward += g.quat[i] * u[3 + i];
    backward += g.log_scale.x * u[7] + g.log_scale.y * u[8] + g.log_scale.z * u[9];
    for (int i = 0; i < 9; ++i) backward += g.camera_R.m[i / 3][i % 3] * u[11 + i];
    backward += g.camera_t.x * u[20] + g.camera_t.y * u[21] + g.camera_t.z * u[22];
    check::near(antialias ? "footprint vjp, antialias" : "footprint vjp", int(seed), backward, forward, 1e-9);
}

void test_harmonics(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    const int degree = int(seed % 4);
    double x[3], u[3], w[kMaxShCoefficients];
    for (double& value : x) value = normal(random);
    for (double& value : u) value = normal(random);
    for (double& value : w) value = normal(random);
    Dual basis[kMaxShCoefficients];
    sh_basis(degree, Vec3<Dual>{{x[0], u[0]}, {x[1], u[1]}, {x[2], u[2]}}, basis);
    double forward = 0;
    for (int j = 0; j < (degree + 1) * (degree + 1); ++j) forward += w[j] * basis[j].slope;
    const Vec3<double> g = sh_basis_vjp(degree, Vec3<double>{x[0], x[1], x[2]}, w);
    check::near("harmonics vjp", int(seed), g.x * u[0] + g.y * u[1] + g.z * u[2], forward, 1e-10);
}

// The box test's minimum against a dense search over the box.
void test_box(unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(-1, 1);
    const double A = 1 + uniform(random), C = 1 + uniform(random), B = 1.9 * std::sqrt(A * C) * uniform(random);
    const double x0 = 4 * uniform(random), x1 = x0 + 2, y0 = 4 * uniform(random), y1 = y0 + 2;
    const double found = min_quadratic_over_box(A, B, C, -B / (2 * A), -B / (2 * C), x0, x1, y0, y1);
    double lowest = 1e30;
    constexpr int kSteps = 400;
    for (int i = 0; i <= kSteps; ++i)
        for (int j = 0; j <= kSteps; ++j) {
            const double x = x0 + (x1 - x0) * i / kSteps, y = y0 + (y1 - y0) * j / kSteps;
            lowest = std::fmin(lowest, A * x * x + B * x * y + C * y * y);
        }
    check::is_true("box minimum is a lower bound", int(seed), found <= lowest + 1e-12);
    check::near("box minimum", int(seed), found, lowest, 0.02);  // the grid's step
}

}  // namespace

int main() {
    for (unsigned seed = 0; seed < 300; ++seed) {
        test_footprint(seed, false);
        test_footprint(seed, true);
        test_harmonics(seed);
    }
    for (unsigned seed = 0; seed < 40; ++seed) test_box(seed);
    return check::summary();
}
