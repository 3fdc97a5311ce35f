// The nearest point of a triangle mesh, and the first that rays meet, by a tree of boxes. Double precision inside, so ties hardly ever depend on rounding.
#pragma once

#include <cstdint>

namespace recon {

// For each of the points [count, 3] the nearest face, -1 without faces, and the nearest point's barycentrics [count, 3].
template <class Real>
void closest_points(const Real* vertices, const int32_t* faces, int64_t face_count, const Real* points, int64_t count, int32_t* face,
                    Real* barycentrics);

// For each ray [count, 3] the first face beyond `near` times its direction, from either side, -1 for none, and how many directions
// away it is [count], infinity for none.
template <class Real>
void first_hits(const Real* vertices, const int32_t* faces, int64_t face_count, const Real* origins, const Real* directions, int64_t count,
                double near, int32_t* face, Real* distance);

}  // namespace recon
