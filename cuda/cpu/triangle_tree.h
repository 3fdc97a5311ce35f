// The nearest point of a triangle mesh, by a tree of boxes. Double precision inside, so ties hardly ever depend on rounding.
#pragma once

#include <cstdint>

namespace recon {

// For each of the points [count, 3] the nearest face, -1 without faces, and the nearest point's barycentrics [count, 3].
template <class Real>
void closest_points(const Real* vertices, const int32_t* faces, int64_t face_count, const Real* points, int64_t count, int32_t* face,
                    Real* barycentrics);

}  // namespace recon
