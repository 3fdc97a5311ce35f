"""Meshes drawn on a GPU against the CPU; and, with a GPU that is none, what the kernels are given.

That the kernels compute what the CPU does is checked by the native tests, in an emulator.
"""

from __future__ import annotations

import contextlib
import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.mesh import cube_passes
from recon.mesh.flexicubes import extract, sign_loss
from recon.mesh.voxels import VoxelGrid
from recon.render import gpu, mesh_passes
from recon.render import mesh as meshes
from recon.render.library import core, pointer
from recon.render.mesh import antialias, interpolate, opposite_by_sorting, opposite_vertices, rasterize_mesh
from recon.render.texture import sample_texture, texel_footprint

WIDTH, HEIGHT = 40, 30


def crumpled(count: int = 9) -> tuple[Tensor, Tensor]:
    """A crumpled sheet with a border and folds, [V, 3], and its faces [F, 3]."""
    generator = torch.Generator().manual_seed(2)
    x, y = torch.meshgrid(torch.linspace(-1, 1, count), torch.linspace(-1, 1, count), indexing="ij")
    vertices = torch.stack([x, y, 0.4 * torch.randn(count, count, generator=generator)], -1).reshape(-1, 3)
    at = torch.arange(count * count).reshape(count, count)
    a, b, c, d = (part.reshape(-1) for part in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    return vertices, torch.cat([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)])


def drawn(device: str) -> dict[str, Tensor]:
    """Everything that is drawn of the sheet, and all gradients, on the CPU."""
    vertices, faces = (value.to(device) for value in crumpled())
    pose, K = torch.eye(4), torch.tensor([[30.0, 0, 20], [0, 30, 15], [0, 0, 1]])
    pose[2, 3] = 2.5
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    leaves = {
        "vertices": vertices, "pose": pose.to(device), "K": K.to(device), "attributes": noise(len(vertices), 4),
        "corners": torch.rand(len(faces), 3, 2, generator=generator).to(device), "texture": noise(16, 16, 3),
    }  # fmt: skip
    for leaf in leaves.values():
        leaf.requires_grad_()
    camera = (leaves["pose"], leaves["K"])
    seen = rasterize_mesh(leaves["vertices"], faces, *camera, WIDTH, HEIGHT)
    uv = interpolate(leaves["corners"], faces, seen)
    size = torch.tensor([16, 16])
    footprint = texel_footprint(leaves["corners"].detach(), faces, seen, leaves["vertices"].detach(), *camera, size)
    image = torch.cat(
        [
            interpolate(leaves["attributes"], faces, seen),
            sample_texture(leaves["texture"], uv, footprint, filter="mip"),
            seen.depth[..., None],
        ],
        dim=2,
    )
    smooth = antialias(image, seen, leaves["vertices"], faces, *camera)
    (smooth * noise(*smooth.shape)).sum().backward()
    found = {"faces": seen.face_ids, "depth": seen.depth, "barycentrics": seen.barycentrics, "image": smooth}
    found |= {f"v_{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {name: value.detach().cpu() for name, value in found.items()}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys() and len(wanted) == 10
    assert torch.equal(found["faces"], wanted["faces"])
    for name, value in wanted.items():
        # Sums of a few hundred numbers in another order.
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()), msg=name)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_the_gpu_draws_what_the_cpu_draws() -> None:
    assert_same(drawn("cuda"), drawn("cpu"))


def test_the_kernels_are_given_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = drawn("cpu")
    monkeypatch.setattr(gpu, "module", StandIn)
    monkeypatch.setattr(meshes, "passes", mesh_passes._OnGpu)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7))
    assert_same(drawn("cpu"), wanted)
    with pytest.raises(TypeError, match=r"torch\.float64; the GPU draws float32"):
        rasterize_mesh(crumpled()[0].double(), crumpled()[1], torch.eye(4), torch.eye(3), 4, 4)


@pytest.mark.parametrize("count", [9, 2])
def test_edges_that_are_sorted_find_each_other(count: int) -> None:
    vertices, faces = crumpled(count)
    faces = torch.cat([faces, faces[:3].flip(1), faces[1:2]])  # edges of three and four faces
    index = faces.to(torch.int32)
    assert torch.equal(opposite_by_sorting(index, len(vertices)), opposite_vertices(faces, len(vertices)))
    assert opposite_by_sorting(index[:0], len(vertices)).shape == (0, 3)


def extracted(device: str) -> dict[str, Tensor]:
    """A surface with all weights from noise on a lattice with missing voxels, and all gradients, on the CPU."""
    generator = torch.Generator().manual_seed(4)
    dense = VoxelGrid.dense(7, torch.zeros(3), 0.3)
    grid = dense.select(torch.rand(len(dense), generator=generator) < 0.8)
    sizes = {
        "sdf": (len(grid.corners),), "deform": (len(grid.corners), 3), "alpha": (len(grid), 8), "beta": (len(grid), 12),
        "gamma": (len(grid),),
    }  # fmt: skip
    leaves = {name: torch.randn(*size, generator=generator).to(device).requires_grad_() for name, size in sizes.items()}
    surface = extract(grid, training=True, **leaves)
    push = torch.randn(surface.vertices.shape, generator=generator).to(device)
    loss = (surface.vertices * push).sum() + surface.deviation.square().sum() + sign_loss(grid, leaves["sdf"])
    loss.backward()
    plain = extract(grid, leaves["sdf"].detach())
    found = {"faces": surface.faces, "vertices": surface.vertices, "voxels": surface.voxels, "plain": plain.faces}
    found |= {f"v_{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    return {name: value.detach().cpu() for name, value in found.items()}


def assert_same_surface(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys() and len(wanted) == 9 and len(wanted["faces"]) > 500
    for name, value in wanted.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4 * float(value.abs().max()), msg=name)
        else:
            assert torch.equal(found[name], value), name


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_the_gpu_extracts_what_the_cpu_extracts() -> None:
    assert_same_surface(extracted("cuda"), extracted("cpu"))
    empty = VoxelGrid.from_coords(torch.zeros(0, 3, dtype=torch.int32), torch.zeros(3), 1.0)
    assert len(extract(empty, torch.zeros(0, device="cuda")).faces) == 0


def test_the_extraction_is_given_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = extracted("cpu")
    monkeypatch.setattr(gpu, "module", StandIn)
    monkeypatch.setattr(cube_passes, "_on_gpu", lambda tensor: True)
    monkeypatch.setattr(cube_passes, "core", SimpleNamespace(f32=SimpleNamespace(FlexiCubesArgs=StandIn.arguments)))
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7))
    assert_same_surface(extracted("cpu"), wanted)
    grid = VoxelGrid.dense(2, torch.zeros(3), 1.0)
    with pytest.raises(TypeError, match=r"torch\.float64; the GPU extracts from float32"):
        extract(grid, torch.ones(len(grid.corners), dtype=torch.float64))
    empty, StandIn.size = VoxelGrid.from_coords(torch.zeros(0, 3, dtype=torch.int32), torch.zeros(3), 1.0), (0, 0)
    assert len(extract(empty, torch.zeros(0)).faces) == 0


def _array(address: int, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), kind).reshape(shape)


class StandIn:
    """The CUDA half's passes by the CPU's, with the GPU's arguments."""

    face_ids = 0
    """Address of what was drawn last: the CPU wants pixels sorted by face where a GPU does not."""
    voxels, size, quad_starts = 0, (0, 0), 0

    def __init__(self) -> None:
        self.faces = len(crumpled()[1])

    def _grouped(self, face_ids: int) -> tuple[Tensor, Tensor]:
        starts = torch.empty(self.faces + 1, dtype=torch.int32)
        pixels = torch.empty(WIDTH * HEIGHT, dtype=torch.int32)
        core.group_pixels(
            face_ids=face_ids, count=WIDTH * HEIGHT, faces=self.faces, starts=pointer(starts), pixels=pointer(pixels)
        )
        return starts, pixels

    def mesh_rasterize(self, view: Any, *, keys: int, stream: int, **arrays: int) -> None:
        assert stream == 7
        _array(keys, (HEIGHT, WIDTH), np.uint64)[:] = 1
        core.f32.mesh_rasterize(view, **arrays)
        StandIn.face_ids = arrays["face_ids"]

    def mesh_rasterize_backward(self, view: Any, *, face_ids: int, stream: int, **arrays: int) -> None:
        starts, pixels = self._grouped(face_ids)
        core.f32.mesh_rasterize_backward(view, starts=pointer(starts), pixels=pointer(pixels), **arrays)

    def interpolate(self, args: Any, *, out: int, stream: int) -> None:
        core.f32.interpolate(args, out=out)

    def interpolate_backward(self, args: Any, *, stream: int, **arrays: int) -> None:
        starts, pixels = self._grouped(StandIn.face_ids)
        core.f32.interpolate_backward(args, starts=pointer(starts), grouped=pointer(pixels), **arrays)

    def find_silhouettes(self, view: Any, *, found: int, stream: int, **arrays: int) -> None:
        starts = torch.empty(HEIGHT + 1, dtype=torch.int64)
        there = _array(found, (2 * WIDTH * HEIGHT, 4), np.int32)
        there[:] = -1
        core.f32.find_silhouettes(view, **arrays, starts=pointer(starts), found=0)
        core.f32.find_silhouettes(view, **arrays, starts=pointer(starts), found=found)

    def antialias(self, view: Any, *, found: int, count: int, stream: int, **arrays: int) -> None:
        core.f32.antialias(view, found=found, count=self._listed(found, count), **arrays)

    def antialias_backward(self, view: Any, *, found: int, count: int, stream: int, **arrays: int) -> None:
        core.f32.antialias_backward(view, found=found, count=self._listed(found, count), **arrays)

    def flexicubes_scratch_bytes(self, voxels: int) -> int:
        StandIn.voxels = voxels
        return 5

    def flexicubes_count(
        self, args: Any, *, raw: int, counts: int, sums: int, scratch: int, scratch_bytes: int, stream: int
    ) -> None:
        """Of the sums the last are asked for; starts of layers are kept where those of voxels would be."""
        voxels = StandIn.voxels
        assert stream == 7 and scratch_bytes == 5
        _array(raw, (voxels,), np.uint8)[:] = _array(scratch, (5,), np.uint8)[0]
        _array(counts, (voxels,), np.int32)[:] = 7
        StandIn.size = core.f32.flexicubes_count(args)
        _array(sums, (voxels,), np.int64)[-1] = StandIn.size[0]
        _array(StandIn.quad_starts, (voxels + 1,), np.int64)[-1] = StandIn.size[1]

    @staticmethod
    def arguments(**given: Any) -> Any:
        StandIn.quad_starts = given["quad_starts"]
        return core.f32.FlexiCubesArgs(**given)

    def flexicubes_fill(self, args: Any, duals: int, *, stream: int, **arrays: int) -> None:
        assert duals == StandIn.size[0]
        core.f32.flexicubes_fill(args, *StandIn.size, **arrays)

    def flexicubes_backward(self, args: Any, duals: int, *, v_dual: int, stream: int, **arrays: int) -> None:
        first = _array(arrays["v_vertices"], (duals, 3), np.float32)
        assert np.array_equal(_array(v_dual, (duals, 3), np.float32), first)
        core.f32.flexicubes_backward(args, *StandIn.size, **arrays)

    def _listed(self, found: int, count: int) -> int:
        assert count == 2 * WIDTH * HEIGHT
        return int((_array(found, (count, 4), np.int32)[:, 0] >= 0).sum())
