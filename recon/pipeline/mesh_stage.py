"""Stage 3: splats and photos to a mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from recon.errors import ReconError
from recon.events import Progress, StageWarning
from recon.geometry import rigid
from recon.io.surface import read_mesh_or_points
from recon.mesh.between import views_between
from recon.mesh.build import MeshConfig, build_mesh
from recon.mesh.points import surface_of_points
from recon.mesh.slices import sliced_views
from recon.mesh.stereo import settled
from recon.mesh.views import agreeing, mesh_views, surface_views
from recon.pipeline.config import RunConfig, to_plain
from recon.pipeline.splats_stage import record_of
from recon.pipeline.stage import StageContext, StageOutput, artifact_key, hash_file
from recon.scene import Scene
from recon.scene.nodes import Node, Points

NODE = "mesh"
"""Id of the mesh in the scene graph."""


class MeshStage:
    """Extracts a surface from the splats and refines it against the training photos."""

    name = "mesh"

    def __init__(self, config: RunConfig) -> None:
        self.config = config.mesh or MeshConfig()
        self.seed = config.seed
        plain = to_plain(replace(config, mesh=self.config))
        self.settings: Mapping[str, Any] = {"mesh": plain["mesh"], "seed": config.seed}

    def key(self, scene: Scene) -> str:
        """Hash of settings and of the splats stage's key, which stands for everything that the stage reads."""
        inputs = {"splats": record_of(scene, "splats").key}
        if self.config.init is not None:
            inputs["init"] = hash_file(self.config.init)
        return artifact_key(self.name, self.settings, inputs)

    def make(self, scene: Scene, context: StageContext) -> StageOutput:
        """Fuse, extract, refine. Raises ReconError when there is no surface to be found."""
        if scene.splats is None:
            raise ReconError("the scene has no splats", fix="run the splats stage first")
        info = record_of(scene, "splats").info
        training = [view for view in scene.split("train") if view.photo is not None]
        coverage = bool(info.get("coverage", False))
        if self.config.init is None:
            antialias = bool(info.get("antialias", False))
            shown = surface_views(scene.splats, training, coverage=coverage, antialias=antialias)
            photos = agreeing(settled(shown, self.config.stereo, self.seed))
            views = photos + sliced_views(
                scene.splats, photos, self.config.slices, coverage=coverage, antialias=antialias
            )
            if not coverage:
                views += views_between(scene.splats, photos, self.config.between, antialias=antialias)
        else:
            given = read_mesh_or_points(self.config.init)
            to_world = torch.linalg.inv(scene.source_from_world)
            if isinstance(given, Points):
                vertices, faces = surface_of_points(given.positions, given.normals)
            else:
                vertices, faces = given.vertices, given.faces
            vertices = rigid.transform_points(to_world, vertices.double()).float()
            views = mesh_views(vertices, faces, training, coverage=coverage)
        if len(training) == 1:
            context.events(StageWarning(self.name, "one training view: the mesh is what this view sees, from its side"))
        built = build_mesh(
            views,
            self.config,
            seed=self.seed,
            tick=lambda done, total, loss: context.events(Progress(self.name, done, total, loss=loss)),
        )
        if built.voxel_size > 1.5 * built.wanted_voxel_size:
            context.events(
                StageWarning(
                    self.name,
                    f"mesh.memory {self.config.memory} ended the refinement at voxels of {built.voxel_size:.3g}; "
                    f"mesh.resolution asks for {built.wanted_voxel_size:.3g}",
                )
            )
        mesh = built.mesh
        if self.config.texture and mesh.texture is None:
            context.events(
                StageWarning(
                    self.name,
                    f"unwrapping {len(mesh.faces):,} triangles failed or took longer than mesh.unwrap_seconds "
                    f"{self.config.unwrap_seconds:g}: the mesh has colours of vertices; lower mesh.faces for a texture",
                )
            )
        return StageOutput(
            scene.with_node(Node(NODE, mesh, kind="scene")),
            f"{len(mesh.faces):,} triangles",
            {
                "triangles": len(mesh.faces),
                "vertices": len(mesh.vertices),
                "voxels": built.voxels,
                "charts": built.charts,
            },
        )
