"""Sparse voxel lattices: which cubes exist, their corners, and who is whose neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.render.library import core, pointer

_BITS = 21
_MIDDLE = 1 << (_BITS - 1)
LIMIT = _MIDDLE - 2
"""Largest magnitude of a lattice coordinate."""

CORNERS = torch.tensor([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)], dtype=torch.int32)
"""[8, 3] offsets of a cube's corners: corner k is the bit pattern x | y << 1 | z << 2."""


def _keys(coords: Tensor) -> Tensor:
    """[..., 3] lattice coordinates to int64 keys that sort by z, then y, then x."""
    wide = coords.to(torch.int64) + _MIDDLE
    return (wide[..., 2] << 2 * _BITS) | (wide[..., 1] << _BITS) | wide[..., 0]


def _coords(keys: Tensor) -> Tensor:
    """The inverse of `_keys`: [N, 3] int32."""
    mask = (1 << _BITS) - 1
    parts = [keys & mask, keys >> _BITS & mask, keys >> 2 * _BITS & mask]
    return torch.stack([(part - _MIDDLE).to(torch.int32) for part in parts], dim=-1)


def _step(offsets: Tensor) -> Tensor:
    """Differences of keys for lattice offsets [S, 3]."""
    wide = offsets.to(torch.int64)
    return (wide[:, 2] << 2 * _BITS) + (wide[:, 1] << _BITS) + wide[:, 0]


def _union(keys: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted union of `keys` (sorted, distinct, [N]) moved by `steps` [S], and where each went: [N, S] int32."""
    starts = torch.empty(core.UNION_PARTS + 1, dtype=torch.int64)
    shared = {
        "count": len(keys), "keys": pointer(keys), "shifts": len(steps), "offsets": pointer(steps),
        "starts": pointer(starts),
    }  # fmt: skip
    core.set_num_threads(torch.get_num_threads())
    union = torch.empty(core.shifted_union_count(**shared), dtype=torch.int64)
    place = torch.empty(len(keys), len(steps), dtype=torch.int32)
    core.shifted_union_fill(**shared, union_keys=pointer(union), place=pointer(place))
    return union, place


@dataclass(frozen=True)
class VoxelGrid:
    """A set of cubes of one size. Voxels and corners are sorted by z, y, x: no result depends on the order given."""

    coords: Tensor
    """[M, 3] int32: lattice coordinates of each voxel's corner 0, distinct and sorted."""
    origin: Tensor
    """[3] float64, position of lattice point (0, 0, 0), scene units."""
    voxel_size: float
    """Edge length, scene units, > 0."""
    corners: Tensor
    """[K, 3] int32: lattice coordinates of all corners, distinct and sorted."""
    voxel_corners: Tensor
    """[M, 8] int32: rows of `corners`, corner k at offset (k & 1, k >> 1 & 1, k >> 2)."""

    @staticmethod
    def from_coords(coords: Tensor, origin: Tensor, voxel_size: float) -> VoxelGrid:
        """The grid of the voxels at `coords` [N, 3] of any integer type and order; repeats count once.

        Raises ReconError for coordinates beyond +-LIMIT and for a voxel size that is not positive.
        """
        if coords.ndim != 2 or coords.shape[1] != 3 or coords.is_floating_point():
            raise ValueError(f"coords is {tuple(coords.shape)} {coords.dtype}; expected [N, 3] integers")
        if not 0 < voxel_size < float("inf"):
            raise ReconError("voxel size", found=voxel_size, wanted="a positive length")
        if len(coords) and int(coords.abs().max()) > LIMIT:
            raise ReconError(
                "voxel coordinates", found=int(coords.abs().max()), wanted=f"at most {LIMIT}", fix="use larger voxels"
            )
        return _from_keys(torch.unique(_keys(coords)), origin, voxel_size)

    @staticmethod
    def dense(resolution: int | tuple[int, int, int], low: Tensor, voxel_size: float) -> VoxelGrid:
        """All voxels of a box of `resolution` voxels (x, y, z) whose lowest corner is `low` [3]."""
        x, y, z = (resolution,) * 3 if isinstance(resolution, int) else resolution
        axes = [torch.arange(n, dtype=torch.int32) for n in (z, y, x)]
        coords = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3).flip(-1)
        return _from_keys(_keys(coords), low, voxel_size)

    def __len__(self) -> int:
        return len(self.coords)

    @cached_property
    def keys(self) -> Tensor:
        """[M] int64, ascending: one per voxel."""
        return _keys(self.coords)

    @cached_property
    def layer_starts(self) -> Tensor:
        """[layers + 1] int64: where each layer of equal z begins."""
        _, counts = torch.unique_consecutive(self.coords[:, 2], return_counts=True)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    @cached_property
    def corner_voxel(self) -> Tensor:
        """[K] int32: the voxel whose corner 0 a corner is, -1 where there is none."""
        found = torch.full((len(self.corners),), -1, dtype=torch.int32)
        found[self.voxel_corners[:, 0].long()] = torch.arange(len(self), dtype=torch.int32)
        return found

    @cached_property
    def _copies(self) -> dict[torch.device, tuple[Tensor, Tensor, Tensor]]:
        return {}

    def on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """`voxel_corners`, `corner_voxel` and `corners` on a device, copied there once."""
        if device.type == "cpu":
            return self.voxel_corners, self.corner_voxel, self.corners
        if device not in self._copies:
            here = (self.voxel_corners, self.corner_voxel, self.corners)
            self._copies[device] = (here[0].to(device), here[1].to(device), here[2].to(device))
        return self._copies[device]

    def corner_positions(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """[K, 3], scene units."""
        return self.corners.to(dtype) * self.voxel_size + self.origin.to(dtype)

    def centers(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Middles of the voxels, [M, 3], scene units."""
        return (self.coords.to(dtype) + 0.5) * self.voxel_size + self.origin.to(dtype)

    def find(self, coords: Tensor) -> Tensor:
        """[N] int64: the voxel at each of `coords` [N, 3], -1 where there is none."""
        return _find(self.keys, coords)

    def find_corners(self, coords: Tensor) -> Tensor:
        """[N] int64: the row of `corners` at each of `coords` [N, 3], -1 where there is none."""
        return _find(_keys(self.corners), coords)

    def select(self, keep: Tensor) -> VoxelGrid:
        """The voxels where `keep` [M] bool holds; corners that no voxel has any more are dropped."""
        return _from_keys(self.keys[keep], self.origin, self.voxel_size)

    def dilate(self, rings: int = 1) -> VoxelGrid:
        """With every voxel within `rings` steps, diagonals included."""
        keys = self.keys
        for axis, _ in product(range(3), range(rings)):
            offsets = torch.zeros(3, 3, dtype=torch.int64)
            offsets[:, axis] = torch.tensor([-1, 0, 1])
            keys, _ = _union(keys, _step(offsets))
        return _from_keys(keys, self.origin, self.voxel_size)

    def subdivide(self) -> VoxelGrid:
        """Every voxel as eight of half the size; lattice points double their coordinates."""
        if len(self) and 2 * int(self.coords.abs().max()) > LIMIT:
            raise ReconError("subdivision", found=f"coordinates beyond {LIMIT}", fix="use larger voxels")
        keys, _ = _union(_keys(2 * self.coords), _step(CORNERS))
        return _from_keys(keys, self.origin, self.voxel_size / 2)

    def sample(self, values: Tensor, finer: VoxelGrid) -> Tensor:
        """Corner values [K, ...] by trilinear interpolation at the corners of `finer`, a grid of half the voxel size.

        Every voxel of `finer` must lie in a voxel of this grid. Returns [finer K, ...].
        """
        parent = self.find(torch.div(finer.coords, 2, rounding_mode="floor"))
        if bool((parent < 0).any()):
            raise ValueError("finer has voxels outside of this grid")
        # Neighbours agree on a shared corner's value up to rounding: the first one decides.
        owner = torch.full((len(finer.corners),), len(finer), dtype=torch.int64)
        for k in range(8):
            owner.scatter_reduce_(0, finer.voxel_corners[:, k].long(), torch.arange(len(finer)), "amin")
        owner = parent[owner]
        # In pieces: at 1024^3 the weights of all corners at once would outgrow the lattice.
        pieces = zip(finer.corners.split(1 << 20), owner.split(1 << 20), strict=True)
        return torch.cat([self._trilinear(values, *piece) for piece in pieces])

    def _trilinear(self, values: Tensor, fine_corners: Tensor, voxels: Tensor) -> Tensor:
        """Corner values at lattice points of half the size, [N, 3], each in one of `voxels` [N]."""
        place = (fine_corners - 2 * self.coords[voxels]).to(values.dtype) / 2
        around = self.voxel_corners[voxels]
        out = values.new_zeros(len(voxels), *values.shape[1:])
        sides = torch.stack([1 - place, place])
        for k, (x, y, z) in enumerate(CORNERS.tolist()):
            weight = sides[x, :, 0] * sides[y, :, 1] * sides[z, :, 2]
            out += weight.reshape(-1, *[1] * (values.ndim - 1)) * values[around[:, k]]
        return out


def _find(keys: Tensor, coords: Tensor) -> Tensor:
    if not len(keys):
        return torch.full((len(coords),), -1, dtype=torch.int64)
    wanted = _keys(coords)
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, place, -1)


def _from_keys(keys: Tensor, origin: Tensor, voxel_size: float) -> VoxelGrid:
    """A grid from sorted, distinct keys."""
    corner_keys, voxel_corners = _union(keys.contiguous(), _step(CORNERS))
    return VoxelGrid(_coords(keys), origin.to(torch.float64), float(voxel_size), _coords(corner_keys), voxel_corners)
