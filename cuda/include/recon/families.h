// The primitive families of the rasteriser. A new one is a header in families/ and a line here.
#pragma once

#include "recon/families/convex.h"
#include "recon/families/exponential.h"
#include "recon/families/gaussian.h"
#include "recon/families/surfel.h"
#include "recon/families/triangle.h"

// X(name, type); the build reads the names from these lines.
#define RECON_FAMILIES(X)            \
    X(gaussian, GaussianFamily)      \
    X(exponential, ExponentialFamily) \
    X(surfel, SurfelFamily)          \
    X(triangle, TriangleFamily)      \
    X(convex6, ConvexFamily<6>)      \
    X(convex8, ConvexFamily<8>)
