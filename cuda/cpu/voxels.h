// Sparse voxel lattices as sorted 64-bit keys, z first: what a hash would look up, merging sorted lists finds in order.
#pragma once

#include <cstdint>

namespace recon {

// The union of n shifted copies of a sorted list of distinct keys, itself sorted and distinct.
struct ShiftedUnion {
    int64_t count;          // keys in
    const int64_t* keys;    // [count] ascending, distinct
    int shifts;             // at most kMaxShifts
    const int64_t* offsets; // [shifts] added to the keys
};

constexpr int kMaxShifts = 8;
constexpr int kUnionParts = 32;  // pieces of work; fixed, so that results never depend on the number of threads

// Sizes of the pieces, starts [kUnionParts + 1]; returns the length of the union.
int64_t shifted_union_count(const ShiftedUnion& args, int64_t* starts);

// union_keys [length]; place [count, shifts]: where key + offset went.
void shifted_union_fill(const ShiftedUnion& args, const int64_t* starts, int64_t* union_keys, int32_t* place);

}  // namespace recon
