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

// Each adds its part of one precision to a submodule.
template <class Real>
void bind_mesh(nb::module_& m);
template <class Real>
void bind_stereo(nb::module_& m, const recon::Kernels<Real>& (*kernels)());

// Adds what has no precision: lattices and connectivity.
void bind_lattice(nb::module_& m);
