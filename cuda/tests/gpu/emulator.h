// A GPU of one block at a time: every thread of a block is a fibre, and fibres change places where threads wait for each other.
//
// Threads of a warp meet in ballots and shuffles, as all lanes of a converged warp do; a kernel that lets some lanes miss such
// a meeting stops with a message, which real hardware would not be so kind to do.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#define RECON_KERNEL inline void
#define RECON_DEVICE inline
#define RECON_SHARED static
#define RECON_CONSTANT inline const
#define RECON_LAUNCH(kernel, blocks, threads, stream, ...) \
    (static_cast<void>(stream), ::recon::simt::launch(blocks, threads, [&] { kernel(__VA_ARGS__); }))

namespace recon::simt {

struct Index {
    unsigned x = 0;
};
enum class Wait { none, warp, block, done };

struct Fibre {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Wait wait = Wait::none;
};

struct Machine {
    std::vector<Fibre> fibres;
    ucontext_t scheduler;
    const std::function<void()>* body = nullptr;
    unsigned current = 0;
    float floats[1024];
    uint32_t votes[1024];
};
inline Machine& machine() {
    static Machine m;
    return m;
}
inline Index& thread_index() {
    static Index i;
    return i;
}
inline Index& block_index() {
    static Index i;
    return i;
}
inline Index& block_size() {
    static Index i;
    return i;
}

inline void yield(Wait wait) {
    Machine& m = machine();
    Fibre& mine = m.fibres[m.current];
    mine.wait = wait;
    swapcontext(&mine.context, &m.scheduler);
}
inline void enter() {
    Machine& m = machine();
    (*m.body)();
    m.fibres[m.current].wait = Wait::done;
    swapcontext(&m.fibres[m.current].context, &m.scheduler);
}

// Lets the fibres [begin, end) go on if all that live wait for `wait`. False if there is nobody to let go.
inline bool release(unsigned begin, unsigned end, Wait wait) {
    Machine& m = machine();
    bool any = false;
    for (unsigned i = begin; i < end; ++i) {
        const Wait w = m.fibres[i].wait;
        if (w != wait && w != Wait::done) return false;
        any |= w == wait;
    }
    for (unsigned i = begin; any && i < end; ++i)
        if (m.fibres[i].wait == wait) m.fibres[i].wait = Wait::none;
    return any;
}

inline void launch(int64_t blocks, int threads, const std::function<void()>& body) {
    Machine& m = machine();
    constexpr size_t kStack = 256 << 10;
    m.body = &body;
    block_size().x = unsigned(threads);
    while (m.fibres.size() < size_t(threads)) {
        m.fibres.emplace_back();
        m.fibres.back().stack.reset(new char[kStack]);
    }
    for (int64_t block = 0; block < blocks; ++block) {
        block_index().x = unsigned(block);
        for (int i = 0; i < threads; ++i) {
            Fibre& f = m.fibres[size_t(i)];
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get();
            f.context.uc_stack.ss_size = kStack;
            f.context.uc_link = nullptr;
            f.wait = Wait::none;
            makecontext(&f.context, enter, 0);
        }
        for (;;) {
            bool ran = false, alive = false;
            for (unsigned i = 0; i < unsigned(threads); ++i) {
                if (m.fibres[i].wait != Wait::none) continue;
                m.current = i;
                thread_index().x = i;
                swapcontext(&m.scheduler, &m.fibres[i].context);
                ran = true;
            }
            bool released = false;
            for (unsigned w = 0; w < unsigned(threads); w += 32)
                released |= release(w, std::min(w + 32, unsigned(threads)), Wait::warp);
            released |= release(0, unsigned(threads), Wait::block);
            for (unsigned i = 0; i < unsigned(threads); ++i) alive |= m.fibres[i].wait != Wait::done;
            if (!alive) break;
            if (!ran && !released) {
                std::printf("threads of block %lld wait for each other in different places\n", static_cast<long long>(block));
                std::abort();
            }
        }
    }
}

inline int lane() { return int(thread_index().x & 31); }
inline void sync_warp() { yield(Wait::warp); }
inline void sync_block() { yield(Wait::block); }
inline uint32_t ballot(bool vote) {
    Machine& m = machine();
    const unsigned me = m.current, first = me & ~31u;
    m.votes[me] = vote;
    yield(Wait::warp);
    uint32_t bits = 0;
    for (unsigned i = 0; i < 32 && first + i < block_size().x; ++i) bits |= m.votes[first + i] << i;
    yield(Wait::warp);
    return bits;
}
inline float shuffle_xor(float value, int offset) {
    Machine& m = machine();
    const unsigned me = m.current;
    m.floats[me] = value;
    yield(Wait::warp);
    const float other = m.floats[me ^ unsigned(offset)];
    yield(Wait::warp);
    return other;
}
inline int first_bit(uint32_t bits) { return __builtin_ctz(bits); }
inline int last_bit(uint32_t bits) { return 31 - __builtin_clz(bits); }
inline void copy_word(const float* from, float* to) { std::memcpy(to, from, 16); }
inline void add(float* to, float value) { *to += value; }
inline void add(double* to, double value) { *to += value; }
inline void offer(float* to, float value) { *to = std::max(*to, value); }
inline void offer_least(uint64_t* to, uint64_t value) { *to = std::min(*to, value); }

template <class Key>
void sort_pairs(void* scratch, size_t* bytes, const Key* keys, Key* keys_out, const int32_t* values, int32_t* values_out,
                       int64_t count, int bits, void*) {
    if (!scratch) {
        *bytes = 16;
        return;
    }
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    const uint32_t mask = bits >= 32 ? 0xffffffffu : (1u << bits) - 1;
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
    for (int64_t i = 0; i < count; ++i) keys_out[i] = keys[order[size_t(i)]], values_out[i] = values[order[size_t(i)]];
}
inline void inclusive_sum(void* scratch, size_t* bytes, const int32_t* in, int64_t* out, int64_t count, void*) {
    if (!scratch) {
        *bytes = 16;
        return;
    }
    int64_t sum = 0;
    for (int64_t i = 0; i < count; ++i) out[i] = sum += in[i];
}
inline void fill_bytes(void* to, int value, size_t bytes, void*) { std::memset(to, value, bytes); }

}  // namespace recon::simt

#define threadIdx ::recon::simt::thread_index()
#define blockIdx ::recon::simt::block_index()
#define blockDim ::recon::simt::block_size()
