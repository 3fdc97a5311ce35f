// What the files of bindings share.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>

#include "cpu/kernels.h"

namespace nb = nanobind;
using namespace nb::literals;

using Pointer = uintptr_t;  // Tensor.data_ptr(); 0 for none

template <class T>
T* at(Pointer p) {
    return reinterpret_cast<T*>(p);
}

template <class Real>
void bind_stereo(nb::module_& m, const recon::Kernels<Real>& (*kernels)());
