"""Pure maths on tensors: rotations, rigid motions, cameras, spherical harmonics. No files, no devices."""
