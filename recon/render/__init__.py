"""Differentiable rendering: `rasterize`, its plain-torch twin, image losses and the fused optimiser step."""
