// Picks the widest instruction set that this processor runs.
#include "cpu/kernels.h"
#include "cpu/project.h"
#include "recon/families.h"

namespace recon {

extern const Kernels<double> kTable_f64;
#if defined(RECON_X86)
extern const Kernels<float> kTable_v2, kTable_v3, kTable_v4;
#else
extern const Kernels<float> kTable_native;
#endif

namespace {

struct Levels {
    const Kernels<float>* tables[3];
    int count = 0;
    int chosen = 0;

    Levels() {
#if defined(RECON_X86)
        tables[count++] = &kTable_v2;
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables[count++] = &kTable_v3;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
            tables[count++] = &kTable_v4;
#else
        tables[count++] = &kTable_native;
#endif
        chosen = count - 1;
    }
};

Levels& levels() {
    static Levels all;
    return all;
}

}  // namespace

int64_t camera_partial_size(int64_t count) { return (count + kProjectChunk - 1) / kProjectChunk * kCameraSums; }
#define RECON_COUNT(name, type) +1
int family_count() { return RECON_FAMILIES(RECON_COUNT); }
int simd_level_count() { return levels().count; }
const char* simd_level_name(int level) { return levels().tables[level]->name; }
void set_simd_level(int level) { levels().chosen = level; }
const Kernels<float>& kernels_f32() { return *levels().tables[levels().chosen]; }
const Kernels<double>& kernels_f64() { return kTable_f64; }

}  // namespace recon
