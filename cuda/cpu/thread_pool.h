// A persistent pool: `parallel_for` hands out indices one by one, so uneven tiles balance themselves.
// Results must not depend on who does what: every index writes its own memory.
#pragma once

#include <cstdint>
#include <functional>

namespace recon {

// Number of threads that share the work, the caller among them. Values below 1 mean 1.
void set_num_threads(int threads);
int num_threads();

// Calls body(index, thread) for every index in [0, count); thread is in [0, num_threads()). Not reentrant: a body must
// not call it again. Safe to call from several host threads, which then take turns.
void parallel_for(int64_t count, const std::function<void(int64_t, int)>& body);

}  // namespace recon
