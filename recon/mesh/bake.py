"""Photos onto a texture: which photo sees a texel, how well, and what colour makes all photos come out right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, normalize

from recon.config import config
from recon.geometry import triangles
from recon.mesh.views import SurfaceView
from recon.render.adam import adam_step
from recon.render.mesh import homogeneous_pixels, interpolate, rasterize_mesh
from recon.render.texture import sample_texture, texel_footprint
from recon.scene.nodes import Mesh


@config
class BakeConfig:
    """How photos become a texture."""

    best: Annotated[int, Field(ge=1)] = 4
    """Photos that a texel's colour comes from, at most."""
    sharpness: Annotated[float, Field(gt=0)] = 2.0
    """Power of the weights: a high one takes the best photo alone, where geometry is off it shows less blur."""
    robust: Annotated[float, Field(gt=0)] = 0.15
    """Colours that differ by this from the best photos' middle count for a third."""
    refine: Annotated[int, Field(ge=0)] = 30
    """Steps that compare renders of the textured mesh with the photos."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Of those steps."""
    dilation: Annotated[int, Field(ge=0)] = 8
    """Texels that colours grow beyond the borders of charts."""


def bake(mesh: Mesh, views: Sequence[SurfaceView], size: int, config: BakeConfig) -> Tensor:
    """[size, size, 3] float32 in [0, 1], sRGB.

    mesh: with `uvs`, and with `colors` for the texels that no photo shows. A texel's weight in a photo is the squared
    cosine times the photo's pixels per texel, where the mesh is not hidden. Weights go smoothly to 0 towards borders of
    images and silhouettes, and are the same on both sides of a chart's border: there are no seams to level.
    """
    assert mesh.uvs is not None and mesh.colors is not None
    corners = torch.cat([mesh.uvs * size, torch.ones(len(mesh.uvs), 1)], 1)
    chart = rasterize_mesh(corners, mesh.faces, torch.eye(4), torch.eye(3), size, size)
    covered = chart.mask
    place = interpolate(mesh.vertices, mesh.faces, chart)[covered]
    normal = triangles.normals(mesh.vertices[mesh.faces])[chart.face_ids[covered].long()]
    texture = interpolate(mesh.colors, mesh.faces, chart)
    texture[covered], shown = _blend(mesh, views, place, normal, texture[covered], config)
    refined = _refined(mesh, views, _dilated(texture, covered, config.dilation), config)
    # Mips and bilinear look-ups reach over borders: what no photo shows is not theirs to change.
    seen = torch.zeros_like(covered)
    seen[covered] = shown
    return _dilated(torch.where(seen[..., None], refined, texture), covered, config.dilation)


def _blend(
    mesh: Mesh, views: Sequence[SurfaceView], place: Tensor, normal: Tensor, otherwise: Tensor, config: BakeConfig
) -> tuple[Tensor, Tensor]:
    """[T, 3] colours of points on the mesh, and whether a photo shows them, [T] bool."""
    kept = min(config.best, len(views))
    best = torch.zeros(kept, len(place))
    colors = otherwise.expand(kept, -1, -1).clone()
    for view in (view for view in views if view.rank > 0):
        weight, color = _look(mesh, view, place, normal)
        for k in range(kept):  # into the sorted list: the better one stays, the other goes on
            better = weight > best[k]
            best[k], weight = torch.where(better, weight, best[k]), torch.where(better, best[k], weight)
            better = better[:, None]
            colors[k], color = torch.where(better, color, colors[k]), torch.where(better, colors[k], color)
    weight = (best / best[0].clamp(min=1e-12)) ** config.sharpness
    middle = (weight[..., None] * colors).sum(0) / weight.sum(0).clamp(min=1e-12)[:, None]
    away = (colors - middle).norm(dim=2)
    weight = (weight * torch.exp(-((away / config.robust) ** 2)))[..., None]
    found = (weight * colors).sum(0) / weight.sum(0).clamp(min=1e-12)
    shown = best[0] > 0
    return torch.where(shown[:, None], found, otherwise), shown


def _look(mesh: Mesh, view: SurfaceView, place: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """What a photo says about points: weights [T], 0 where it does not see them, and colours [T, 3]."""
    q = homogeneous_pixels(place, view.world_to_camera, view.K)
    z = q[:, 2].clamp(min=1e-9)
    pixels = q[:, :2] / z[:, None]
    ends = pixels.new_tensor([view.width, view.height])
    at = (2 * pixels / ends - 1)[None, None]
    seen = rasterize_mesh(mesh.vertices, mesh.faces, view.world_to_camera, view.K, view.width, view.height)
    soft = _trust(view, seen.depth)
    planes = torch.cat([view.photo.permute(2, 0, 1), seen.depth[None], soft[None]])[None]
    exact = grid_sample(planes, at, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0]
    ray = normalize(view.center - place, dim=1)
    cosine = (normal * ray).sum(1).abs()
    focal = view.K.diagonal()[:2].prod().sqrt()
    # A pixel of a slanted surface spans this much depth.
    slack = (1.5 * z / focal) * (1 + 1 / cosine.clamp(min=0.1))
    visible = (q[:, 2] > 1e-6) & (pixels > 0).all(1) & (pixels < ends).all(1) & ((exact[3] - z).abs() < slack)
    return torch.where(visible, view.rank * cosine.square() * (focal / z).square() * exact[4], 0), exact[:3].T


def _trust(view: SurfaceView, depth: Tensor) -> Tensor:
    """[H, W] in [0, 1]: falls towards the image's border, towards jumps of depth, and where photos do not count."""
    counts = view.counts.float()
    wide = depth[None, None]
    high = torch.nn.functional.max_pool2d(wide, 3, 1, 1)[0, 0]
    low = -torch.nn.functional.max_pool2d(-wide, 3, 1, 1)[0, 0]
    smooth = (depth > 0) & (high - low < 0.05 * depth)
    return avg_pool2d((counts * smooth)[None, None], 5, 1, 2)[0, 0] * counts


def _dilated(texture: Tensor, covered: Tensor, steps: int) -> Tensor:
    """Colours grown by `steps` texels, each the mean of the filled among its eight neighbours; the mean beyond."""
    image, filled = texture.permute(2, 0, 1)[None], covered.to(texture.dtype)[None, None]
    image = image * filled
    for _ in range(steps):
        weight = avg_pool2d(filled, 3, 1, 1)
        grown = avg_pool2d(image, 3, 1, 1) / weight.clamp(min=1e-6)
        image = torch.where(filled > 0, image, torch.where(weight > 0, grown, 0))
        filled = (weight > 0).to(image.dtype)
    mean = texture[covered].mean(0) if bool(covered.any()) else texture.new_zeros(3)
    return torch.where(filled > 0, image, mean[None, :, None, None])[0].permute(1, 2, 0).contiguous()


def _refined(mesh: Mesh, views: Sequence[SurfaceView], texture: Tensor, config: BakeConfig) -> Tensor:
    """The texture after steps of Adam on the difference between renders and photos, a photo a step in turn."""
    if not config.refine:
        return texture
    assert mesh.uvs is not None
    size = torch.tensor(texture.shape[1::-1])
    prepared = []
    with torch.no_grad():
        for view in (view for view in views if view.rank == 1):
            camera = (view.world_to_camera, view.K)
            seen = rasterize_mesh(mesh.vertices, mesh.faces, *camera, view.width, view.height)
            uv = interpolate(mesh.uvs, mesh.faces, seen)
            footprint = texel_footprint(mesh.uvs, mesh.faces, seen, mesh.vertices, *camera, size)
            prepared.append((uv, footprint, _trust(view, seen.depth)[..., None], view.photo))
    first, second = torch.zeros_like(texture), torch.zeros_like(texture)
    for step in range(config.refine):
        uv, footprint, trust, photo = prepared[step % len(prepared)]
        leaf = texture.detach().requires_grad_()
        render = sample_texture(leaf, uv, footprint, filter="mip")
        loss = (trust * (render - photo).abs()).sum() / trust.sum().clamp(min=1)
        loss.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        texture = leaf.detach()
        adam_step(
            texture, leaf.grad, first, second, step=step + 1, lr=config.learning_rate * (1 - step / config.refine),
            beta2=0.99, eps=1e-12,
        )  # fmt: skip
    return texture.clamp(0, 1)
