// The mesh part of `recon._core`.
#pragma once

#include <nanobind/nanobind.h>

// Adds the mesh functions of one precision to a submodule.
template <class Real>
void bind_mesh(nanobind::module_& m);

// Adds what has no precision: lattices and connectivity.
void bind_lattice(nanobind::module_& m);
