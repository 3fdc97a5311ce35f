// Every family's hand-written gradient against dual numbers. A function of all inputs (values, pose): a random combination of
// ln alpha at random pixels, of the depth, of depths at pixels and of the normal. Its derivative along a random direction u by
// dual numbers must equal the one from accumulate and project_vjp.
#include <cstdio>
#include <random>

#include "check.h"
#include "dual.h"
#include "recon/families.h"
#include "recon/spherical_harmonics.h"

using namespace recon;

namespace {

constexpr int kPixels = 40;

template <class T>
Camera<T> camera_of(const T* pose, bool antialias) {
    Camera<T> camera;
    for (int i = 0; i < 9; ++i) camera.R.m[i / 3][i % 3] = pose[i];
    camera.t = {pose[9], pose[10], pose[11]};
    camera.fx = T(61), camera.fy = T(57), camera.cx = T(29), camera.cy = T(35);
    camera.near_plane = T(0.01), camera.far_plane = T(1e10), camera.eps2d = T(0.3);
    camera.antialias = antialias;
    finish_camera(camera, T(64), T(60));
    return camera;
}

struct Weights {
    double pixel[kPixels], pixel_depth[kPixels], depth, normal[3];
    double offset_x[kPixels], offset_y[kPixels];
};

// The function itself. Pixels keep their places on the image whatever T's slope says.
template <class Family, class T>
T evaluate(const T* values, int points, const Camera<T>& camera, const Weights& w, const double* x, const double* y) {
    Footprint<T, Family::kRecord> f;
    Family::project(values, points, camera, f);
    T sum = T(w.depth) * f.record[2] + T(w.normal[0]) * f.normal.x + T(w.normal[1]) * f.normal.y + T(w.normal[2]) * f.normal.z;
    for (int i = 0; i < kPixels; ++i) {
        auto s = Family::evaluate(f.record, T(x[i]), T(y[i]));
        if (!(s.key >= T(Family::kThreshold))) continue;
        sum = sum + T(w.pixel[i] * kLn2) * log2(Family::alpha(f.record, s));
        if constexpr (Family::kPixelDepth) sum = sum + T(w.pixel_depth[i]) * Family::depth(f.record, s);
    }
    return sum;
}

template <class Family>
void random_values(std::mt19937& random, int points, double* v) {
    std::normal_distribution<double> normal;
    const double x = 0.7 * normal(random), y = 0.7 * normal(random), z = normal(random);
    if (Family::width(0) == 3) {
        v[0] = x, v[1] = y, v[2] = z;
        for (int i = 3; i < 7; ++i) v[i] = normal(random);
        for (int i = 7; i < Family::kValues; ++i) v[i] = -1.2 + 0.6 * normal(random);
    } else {
        const int room = Family::width(0) / 3;
        for (int i = 0; i < 3 * points; ++i) v[i] = (i % 3 == 0 ? x : i % 3 == 1 ? y : z) + 0.5 * normal(random);
        for (int i = 3 * points; i < 3 * room; ++i) v[i] = 0;
        for (int i = 3 * room; i < Family::kValues; ++i) v[i] = (points > 0 && room > 3 ? -4 : -0.5) + 0.5 * normal(random);
    }
    v[Family::kValues - 1 - (Family::kParameters == 5 ? 1 : 0)] = 1.5 + normal(random);  // opaque enough to see
}

template <class Family>
void test_gradient(unsigned seed, int points, bool antialias, int& used) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    constexpr int kInputs = Family::kValues + 12;
    double in[kInputs] = {}, u[kInputs];
    random_values<Family>(random, points, in);
    for (double& value : u) value = normal(random);
    for (int i = 3 * points; Family::width(0) > 3 && i < Family::width(0); ++i) u[i] = 0;
    double* pose = in + Family::kValues;
    const double c = std::cos(0.3), s = std::sin(0.3);
    const double R[9] = {c, 0, s, 0, 1, 0, -s, 0, c};
    for (int i = 0; i < 9; ++i) pose[i] = R[i] + 0.02 * normal(random);  // the gradient does not assume a rotation
    pose[9] = 0.1, pose[10] = -0.2, pose[11] = 6.0;

    const Camera<double> camera = camera_of(pose, antialias);
    Footprint<double, Family::kRecord> f;
    Family::project(in, points, camera, f);
    if (!f.visible) return;
    ++used;
    Weights w;
    double x[kPixels], y[kPixels];
    const auto clip = [](double v, double low, double high) { return v < low ? low : v > high ? high : v; };
    std::uniform_real_distribution<double> uniform;
    for (int i = 0; i < kPixels; ++i) {
        x[i] = clip(f.left, -100, 200) + uniform(random) * (clip(f.right, -100, 200) - clip(f.left, -100, 200));
        y[i] = clip(f.top, -100, 200) + uniform(random) * (clip(f.bottom, -100, 200) - clip(f.top, -100, 200));
        w.pixel[i] = normal(random), w.pixel_depth[i] = normal(random);
    }
    w.depth = normal(random);
    const bool has_normal = Family::width(0) == 3 || Family::kParameters == 3;  // a hull's normal carries no gradient
    for (double& value : w.normal) value = has_normal ? normal(random) : 0;

    Dual dual[kInputs];
    for (int i = 0; i < kInputs; ++i) dual[i] = {in[i], u[i]};
    const Camera<Dual> dual_camera = camera_of(dual + Family::kValues, antialias);
    const double forward = evaluate<Family>(dual, points, dual_camera, w, x, y).slope;

    FootprintGradient<double, Family::kMoments> v = {};
    v.depth = w.depth;
    v.normal = {w.normal[0], w.normal[1], w.normal[2]};
    double shift_x = 0, shift_y = 0;
    for (int i = 0; i < kPixels; ++i) {
        auto sample = Family::evaluate(f.record, x[i], y[i]);
        if (!(sample.key >= Family::kThreshold)) continue;
        const double alpha = Family::alpha(f.record, sample);
        check::is_true("alpha where touched", int(seed), alpha > 0.999 * kMinAlpha && alpha <= 1);
        check::is_true("touched pixels can be reached", int(seed), Family::may_reach(f.record, x[i] - 1, x[i], y[i], y[i] + 1));
        check::is_true("touched pixels are in the box", int(seed),
                       x[i] >= f.left - 1e-6 && x[i] <= f.right + 1e-6 && y[i] >= f.top - 1e-6 && y[i] <= f.bottom + 1e-6);
        double sx, sy;
        Family::shift(f.record, sample, sx, sy);
        shift_x += w.pixel[i] * sx, shift_y += w.pixel[i] * sy;
        Family::accumulate(f.record, sample, w.pixel[i], v.moments);
        if constexpr (Family::kPixelDepth) Family::accumulate_depth(f.record, sample, w.pixel_depth[i], v.moments);
    }
    double g[kInputs], shift[2];
    CameraGradient<double> pose_gradient;
    Family::project_vjp(in, points, camera, v, g, pose_gradient, shift);
    double backward = 0;
    for (int i = 0; i < Family::kValues; ++i) backward += g[i] * u[i];
    for (int i = 0; i < 9; ++i) backward += pose_gradient.R.m[i / 3][i % 3] * u[Family::kValues + i];
    backward += pose_gradient.t.x * u[Family::kValues + 9] + pose_gradient.t.y * u[Family::kValues + 10] + pose_gradient.t.z * u[Family::kValues + 11];
    check::near(Family::kName, int(seed), backward, forward, 1e-7);
    if (!Family::kPixelDepth) {
        check::near("shift x", int(seed), shift[0], shift_x, 1e-8);
        check::near("shift y", int(seed), shift[1], shift_y, 1e-8);
    }
}

template <class Family>
void test_family(int points) {
    int used = 0;
    for (unsigned seed = 0; seed < 300; ++seed) {
        test_gradient<Family>(seed, points, false, used);
        if (Family::kParameters >= 4 && Family::width(1) == 4 && Family::width(2) == 3) test_gradient<Family>(seed, points, true, used);
    }
    check::is_true("most random primitives are visible", used, used > 150);
}

// No rectangle is called out of reach that holds a touched pixel.
template <class Family>
void test_reach(int points) {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 random(seed);
        double in[Family::kValues] = {};
        random_values<Family>(random, points, in);
        const double pose[12] = {1, 0, 0, 0, 1, 0, 0, 0, 1, 0.1, -0.2, 3.0};
        Footprint<double, Family::kRecord> f;
        Family::project(in, points, camera_of(pose, false), f);
        if (!f.visible) continue;
        for (int ty = 0; ty < 64; ty += 16)
            for (int tx = 0; tx < 64; tx += 16) {
                bool touched = false;
                for (int y = ty; y < ty + 16 && !touched; ++y)
                    for (int x = tx; x < tx + 16 && !touched; ++x)
                        touched = Family::evaluate(f.record, x + 0.5, y + 0.5).key >= Family::kThreshold;
                const bool reached = Family::may_reach(f.record, tx + 0.5, tx + 15.5, ty + 0.5, ty + 15.5);
                if (touched) check::is_true("reach", int(seed), reached);
            }
    }
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
    for (unsigned seed = 0; seed < 300; ++seed) test_harmonics(seed);
    for (unsigned seed = 0; seed < 40; ++seed) test_box(seed);
#define RECON_TEST(name, type)              \
    for (int points = 3; points <= 8; ++points) { \
        if (type::width(0) < 3 * points && points > 3) break; \
        const int used = type::width(0) > 9 ? points : 0;     \
        test_family<type>(type::width(0) == 9 ? 3 : used);    \
        test_reach<type>(type::width(0) == 9 ? 3 : used);     \
    }
    RECON_FAMILIES(RECON_TEST)
    return check::summary();
}
