// The few words of CUDA that the kernels use, so that the same kernels also run on a host: nvcc maps them to the real ones,
// any other compiler to the emulator of tests/gpu/emulator.h, with which every kernel is tested where there is no GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__

#include <cub/cub.cuh>
#include <stdexcept>
#include <string>

#define RECON_KERNEL __global__ void
#define RECON_DEVICE __device__ __forceinline__
#define RECON_SHARED __shared__
#define RECON_CONSTANT __constant__
// Launches `kernel` (in parentheses if it has template arguments) and throws what the launch reports.
#define RECON_LAUNCH(kernel, blocks, threads, stream, ...)                                                                   \
    do {                                                                                                                     \
        const int64_t launched_blocks = (blocks);                                                                            \
        if (launched_blocks > 0) {                                                                                           \
            kernel<<<unsigned(launched_blocks), threads, 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__);               \
            ::recon::simt::check(cudaGetLastError(), #kernel, launched_blocks, threads);                                     \
        }                                                                                                                    \
    } while (0)

namespace recon::simt {

inline void check(cudaError_t error, const char* what, int64_t blocks, int threads) {
    if (error != cudaSuccess)
        throw std::runtime_error(std::string(what) + " (" + std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                                 "): " + cudaGetErrorString(error));
}

RECON_DEVICE int lane() { return int(threadIdx.x & 31); }
RECON_DEVICE uint32_t ballot(bool vote) { return __ballot_sync(0xffffffffu, vote); }
RECON_DEVICE float shuffle_xor(float value, int offset) { return __shfl_xor_sync(0xffffffffu, value, offset); }
RECON_DEVICE void sync_warp() { __syncwarp(); }
RECON_DEVICE void sync_block() { __syncthreads(); }
RECON_DEVICE int first_bit(uint32_t bits) { return __ffs(int(bits)) - 1; }
RECON_DEVICE int last_bit(uint32_t bits) { return 31 - __clz(int(bits)); }
RECON_DEVICE void copy_word(const float* from, float* to) { *reinterpret_cast<float4*>(to) = *reinterpret_cast<const float4*>(from); }
RECON_DEVICE void add(float* to, float value) { atomicAdd(to, value); }
RECON_DEVICE void add(double* to, double value) { atomicAdd(to, value); }
// The largest of what non-negative floats were offered: their bits are ordered like integers.
RECON_DEVICE void offer(float* to, float value) { atomicMax(reinterpret_cast<int*>(to), __float_as_int(value)); }
RECON_DEVICE void offer_least(uint64_t* to, uint64_t value) {
    atomicMin(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

// Stable sort of `count` pairs by `bits` low bits of the key. With a null `scratch` only *bytes is set.
template <class Key>
void sort_pairs(void* scratch, size_t* bytes, const Key* keys, Key* keys_out, const int32_t* values, int32_t* values_out,
                       int64_t count, int bits, void* stream) {
    check(cub::DeviceRadixSort::SortPairs(scratch, *bytes, keys, keys_out, values, values_out, count, 0, bits, static_cast<cudaStream_t>(stream)),
          "sort", count, bits);
}
// out[i] = sum of in[0 .. i].
inline void inclusive_sum(void* scratch, size_t* bytes, const int32_t* in, int64_t* out, int64_t count, void* stream) {
    check(cub::DeviceScan::InclusiveSum(scratch, *bytes, in, out, count, static_cast<cudaStream_t>(stream)), "sum", count, 0);
}
inline void fill_bytes(void* to, int value, size_t bytes, void* stream) {
    check(cudaMemsetAsync(to, value, bytes, static_cast<cudaStream_t>(stream)), "memset", int64_t(bytes), 0);
}

}  // namespace recon::simt

#else
#include "tests/gpu/emulator.h"
#endif
