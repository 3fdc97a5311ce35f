#include "cpu/voxels.h"

#include <algorithm>
#include <limits>

#include "cpu/thread_pool.h"

namespace recon {
namespace {

// Merges the part of the copies whose sums lie between two sample keys; calls emit(key) once per distinct sum and
// hit(copy, index) for every source of it, after its emit.
template <class Emit, class Hit>
void merge_part(const ShiftedUnion& a, int part, Emit emit, Hit hit) {
    const auto bound = [&a](int p) {
        if (p == 0) return std::numeric_limits<int64_t>::min();
        if (p == kUnionParts) return std::numeric_limits<int64_t>::max();
        return a.keys[a.count * p / kUnionParts];
    };
    const int64_t low = bound(part), high = bound(part + 1);
    if (low == high) return;
    constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
    int64_t head[kMaxShifts], place[kMaxShifts], end[kMaxShifts];
    const auto find = [&a](int64_t key, int k) {
        if (key == std::numeric_limits<int64_t>::min()) return int64_t(0);
        if (key == kEnd) return a.count;
        return int64_t(std::lower_bound(a.keys, a.keys + a.count, key - a.offsets[k]) - a.keys);
    };
    for (int k = 0; k < a.shifts; ++k) {
        place[k] = find(low, k), end[k] = find(high, k);
        head[k] = place[k] < end[k] ? a.keys[place[k]] + a.offsets[k] : kEnd;
    }
    for (;;) {
        int64_t least = head[0];
        for (int k = 1; k < a.shifts; ++k) least = std::min(least, head[k]);
        if (least == kEnd) return;
        emit(least);
        for (int k = 0; k < a.shifts; ++k) {
            if (head[k] != least) continue;
            hit(k, place[k]);
            ++place[k];
            head[k] = place[k] < end[k] ? a.keys[place[k]] + a.offsets[k] : kEnd;
        }
    }
}

}  // namespace

int64_t shifted_union_count(const ShiftedUnion& args, int64_t* starts) {
    std::fill(starts, starts + kUnionParts + 1, int64_t(0));
    if (args.count == 0) return 0;
    parallel_for(kUnionParts, [&](int64_t part, int) {
        int64_t length = 0;
        merge_part(args, int(part), [&](int64_t) { ++length; }, [](int, int64_t) {});
        starts[part + 1] = length;
    });
    for (int part = 0; part < kUnionParts; ++part) starts[part + 1] += starts[part];
    return starts[kUnionParts];
}

void shifted_union_fill(const ShiftedUnion& args, const int64_t* starts, int64_t* union_keys, int32_t* place) {
    if (args.count == 0) return;
    parallel_for(kUnionParts, [&](int64_t part, int) {
        int64_t next = starts[part];
        merge_part(
            args, int(part), [&](int64_t key) { union_keys[next++] = key; },
            [&](int k, int64_t i) { place[i * args.shifts + k] = int32_t(next - 1); });
    });
}

}  // namespace recon
