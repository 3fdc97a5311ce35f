// Random signs on a box of voxels, positive along its rim: a closed surface of many parts, all cases of cubes in it.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/voxels.h"
#include "recon/flexicubes_args.h"

namespace recon {

template <class Real>
struct RandomField {
    static constexpr int kSide = 8;
    std::vector<int32_t> voxel_corners, corner_voxel, places, first;
    std::vector<int64_t> layers, quad_starts;
    std::vector<uint8_t> cases;
    std::vector<Real> sdf, offsets, alpha, beta, gamma;
    FlexiCubesArgs<Real> args;

    static int64_t key(int x, int y, int z) { return (int64_t(z) << 42) + (int64_t(y) << 21) + x; }

    explicit RandomField(unsigned seed) {
        std::vector<int64_t> keys, steps;
        for (int z = 0; z < kSide; ++z)
            for (int y = 0; y < kSide; ++y)
                for (int x = 0; x < kSide; ++x) keys.push_back(key(x, y, z));
        for (int k = 0; k < 8; ++k) steps.push_back(key(k & 1, k >> 1 & 1, k >> 2));
        const ShiftedUnion lattice = {int64_t(keys.size()), keys.data(), 8, steps.data()};
        int64_t starts[kUnionParts + 1];
        const int64_t corners = shifted_union_count(lattice, starts);
        check::is_true("corners of a box", 0, corners == (kSide + 1) * (kSide + 1) * (kSide + 1));
        std::vector<int64_t> corner_keys(static_cast<size_t>(corners));
        voxel_corners.resize(keys.size() * 8);
        shifted_union_fill(lattice, starts, corner_keys.data(), voxel_corners.data());

        std::mt19937 random(seed);
        std::normal_distribution<double> normal;
        const auto noise = [&](size_t count) {
            std::vector<Real> v(count);
            for (Real& x : v) x = Real(0.3 * normal(random));
            return v;
        };
        corner_voxel.assign(corner_keys.size(), -1);
        for (const int64_t k : corner_keys) {
            const int place[3] = {int(k & 0x1fffff), int(k >> 21 & 0x1fffff), int(k >> 42)};
            bool rim = false;
            for (const int c : place) places.push_back(c), rim |= c == 0 || c == kSide;
            sdf.push_back(rim ? Real(1) : Real(normal(random)));
        }
        for (size_t v = 0; v < keys.size(); ++v) corner_voxel[size_t(voxel_corners[8 * v])] = int32_t(v);
        for (int z = 0; z <= kSide; ++z) layers.push_back(int64_t(z) * kSide * kSide);
        quad_starts.resize(kSide + 1), cases.resize(keys.size()), first.resize(keys.size());
        alpha = noise(8 * keys.size()), beta = noise(12 * keys.size()), gamma = noise(keys.size());
        offsets = noise(3 * sdf.size());
        for (Real& x : offsets) x *= Real(0.1);

        args.voxels = int64_t(keys.size()), args.layers = kSide, args.layer_starts = layers.data();
        args.voxel_corners = voxel_corners.data(), args.corner_voxel = corner_voxel.data(), args.corners = places.data();
        args.voxel_size = Real(0.25), args.sdf = sdf.data(), args.offsets = offsets.data();
        args.alpha = alpha.data(), args.beta = beta.data(), args.gamma = gamma.data(), args.training = true;
        args.cases = cases.data(), args.first_vertex = first.data(), args.quad_starts = quad_starts.data();
        args.origin[0] = args.origin[1] = -1, args.origin[2] = 2;
    }
    RandomField(const RandomField&) = delete;
    RandomField& operator=(const RandomField&) = delete;
};

}  // namespace recon
