"""Pictures of a mesh in its own colours, without light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.io.images import load_image
from recon.render.mesh import Fragments, antialias, interpolate, opposite_vertices, rasterize_mesh
from recon.render.texture import sample_texture, texel_footprint
from recon.scene import Scene, View
from recon.scene.nodes import Mesh


@dataclass(frozen=True)
class MeshRenderer:
    """Takes views to pictures."""

    mesh: Mesh
    background: Tensor
    """[3], colour where there is no mesh, sRGB."""

    @staticmethod
    def of(scene: Scene) -> MeshRenderer:
        """The renderer for `scene`. Raises ReconError when it has no mesh."""
        if scene.mesh is None:
            raise ReconError("the scene has no mesh yet", fix="run `recon run --until mesh` on its scene.yaml")
        info = {record.stage: record.info for record in scene.provenance}
        color = info.get("poses", {}).get("background")
        return MeshRenderer(scene.mesh, torch.tensor(color if color is not None else [0.0, 0.0, 0.0]))

    @cached_property
    def _opposite(self) -> Tensor:
        return opposite_vertices(self.mesh.faces, len(self.mesh.vertices))

    @cached_property
    def _texture(self) -> Tensor | None:
        return None if self.mesh.texture is None else torch.tensor(self.mesh.texture).float() / 255

    def fragments(self, view: View) -> Fragments:
        """What each pixel of a view sees of the mesh."""
        camera = view.camera
        pose, K = view.world_to_camera.float(), camera.K.float()
        return rasterize_mesh(self.mesh.vertices, self.mesh.faces, pose, K, camera.width, camera.height)

    @torch.no_grad()
    def __call__(self, view: View) -> Tensor:
        """[H, W, 3] float32 in [0, 1], sRGB."""
        mesh, seen = self.mesh, self.fragments(view)
        camera = (view.world_to_camera.float(), view.camera.K.float())
        if self._texture is not None and mesh.uvs is not None:
            uv = interpolate(mesh.uvs, mesh.faces, seen)
            size = torch.tensor(self._texture.shape[1::-1])
            footprint = texel_footprint(mesh.uvs, mesh.faces, seen, mesh.vertices, *camera, size)
            color = sample_texture(self._texture, uv, footprint, filter="mip")
        elif mesh.colors is not None:
            color = interpolate(mesh.colors, mesh.faces, seen)
        else:
            color = torch.full((*seen.mask.shape, 3), 0.5)
        color = torch.where(seen.mask[..., None], color, self.background)
        return antialias(color, seen, mesh.vertices, mesh.faces, *camera, self._opposite).clamp(0, 1)


def silhouettes(views: Sequence[View], mesh: MeshRenderer) -> dict[str, float]:
    """Intersection over union of the mesh's silhouette and the photo's, by view name; of views that are cut out."""
    found = {}
    for view in views:
        alpha = None if view.photo is None else load_image(view).alpha
        if alpha is not None:
            photo, own = torch.from_numpy(alpha) > 0.5, mesh.fragments(view).mask
            found[view.name] = float((photo & own).sum() / (photo | own).sum().clamp(min=1))
    return found
