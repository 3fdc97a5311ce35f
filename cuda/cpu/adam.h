// Adam (Kingma & Ba 2015) in one pass over memory, on all rows or only on those that a render saw.
#pragma once

#include <vector>

#include "cpu/simd.h"
#include "cpu/thread_pool.h"
#include "recon/training_args.h"

namespace recon {
inline namespace RECON_ISA {

// rates: learning rates by column, kLanes more after the last as if columns went on in a circle; null for one rate.
template <class Real>
RECON_HD void adam_span(const AdamArgs<Real>& a, const Real* rates, int64_t begin, int64_t end) {
    using P = Pack<Real>;
    const P b1 = P(a.beta1), b2 = P(a.beta2), c1 = P(1 - a.beta1), c2 = P(1 - a.beta2), eps = P(a.epsilon);
    const P unit = P(1 / a.correction1), root = P(1 / a.correction2);
    P rate = P(a.learning_rate);
    int64_t column = rates ? begin % a.columns : 0;
    for (int64_t i = begin; i < end; i += kLanes) {
        const int count = int(end - i < kLanes ? end - i : kLanes);
        const bool whole = count == kLanes;
        const auto read = [&](const Real* p) { return whole ? P::load(p + i) : P::gather(p + i, 1, count); };
        const auto write = [&](const P& x, Real* p) { whole ? x.store(p + i) : x.scatter(p + i, 1, count); };
        if (rates) {
            rate = P::load(rates + column);
            for (column += kLanes; column >= a.columns;) column -= a.columns;
        }
        const P g = read(a.gradient);
        const P m = b1 * read(a.exp_avg) + c1 * g;
        const P v = b2 * read(a.exp_avg_sq) + c2 * g * g;
        write(m, a.exp_avg);
        write(v, a.exp_avg_sq);
        write(read(a.parameter) - rate * unit * m / (sqrt(v * root) + eps), a.parameter);
    }
}

template <class Real>
void adam(const AdamArgs<Real>& a) {
    constexpr int64_t kRows = 4096;
    std::vector<Real> by_column;
    if (a.head > 0) {
        by_column.resize(size_t(a.columns + kLanes));
        for (size_t i = 0; i < by_column.size(); ++i)
            by_column[i] = int64_t(i) % a.columns < a.head ? a.head_rate : a.learning_rate;
    }
    const Real* rates = by_column.empty() ? nullptr : by_column.data();
    parallel_for((a.rows + kRows - 1) / kRows, [&](int64_t chunk, int) {
        const int64_t begin = chunk * kRows, end = begin + kRows < a.rows ? begin + kRows : a.rows;
        if (!a.visible) return adam_span(a, rates, begin * a.columns, end * a.columns);
        for (int64_t row = begin; row < end;) {
            if (!a.visible[row]) {
                ++row;
                continue;
            }
            int64_t stop = row + 1;  // runs of visible rows keep the packs full
            while (stop < end && a.visible[stop]) ++stop;
            adam_span(a, rates, row * a.columns, stop * a.columns);
            row = stop;
        }
    });
}

}  // namespace RECON_ISA
}  // namespace recon
