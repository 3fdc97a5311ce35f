"""The scene graph in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from recon.scene.nodes import Mesh, Node, Points, Relation, Splats, Split, View
from recon.scene.placed import moved_mesh, moved_points

Content = TypeVar("Content", Points, Splats, Mesh)


@dataclass(frozen=True)
class StageRecord:
    """One line of a scene's provenance: which published stage folder it took part of its content from."""

    stage: str
    """Stage name such as "poses" or "splats"."""
    folder: str
    """Folder name below `stages/`."""
    key: str
    """Hash of the stage's configuration and inputs; equal keys mean that the work need not be done again."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Small JSON values worth showing: seconds, number of primitives, versions."""


@dataclass(frozen=True)
class Scene:
    """Views and nodes in one world frame. Frozen: every stage returns a new one."""

    views: tuple[View, ...] = ()
    nodes: tuple[Node, ...] = ()
    relations: tuple[Relation, ...] = ()
    metric: bool = False
    """True when one scene unit is one metre."""
    source_from_world: Tensor = field(default_factory=lambda: torch.eye(4, dtype=torch.float64))
    """[4, 4] float64 similarity that takes world coordinates back to the capture's own."""
    provenance: tuple[StageRecord, ...] = ()

    def __post_init__(self) -> None:
        names = [view.name for view in self.views]
        ids = [node.id for node in self.nodes]
        for what, keys in (("view name", names), ("node id", ids)):
            twice = sorted({key for key in keys if keys.count(key) > 1})
            if twice:
                raise ValueError(f"{what} {twice[0]!r} appears more than once")
        for node in self.nodes:
            if node.parent is not None and node.parent not in ids:
                raise ValueError(f"node {node.id!r} hangs under {node.parent!r}, which does not exist")

    def split(self, which: Split) -> tuple[View, ...]:
        """The training or the held-out views, in scene order."""
        return tuple(view for view in self.views if view.split == which)

    @property
    def points(self) -> Points | None:
        """Content of the last point node, in world coordinates."""
        found = self._last(Points)
        return None if found is None else moved_points(found[1], self.world_from(found[0]))

    @property
    def splats(self) -> Splats | None:
        """Content of the last splat node."""
        found = self._last(Splats)
        return None if found is None else found[1]

    @property
    def mesh(self) -> Mesh | None:
        """Content of the last mesh node, in world coordinates."""
        found = self._last(Mesh)
        return None if found is None else moved_mesh(found[1], self.world_from(found[0]))

    def world_from(self, node: Node) -> Tensor:
        """[4, 4] float64: where a node's own coordinates lie, through all nodes above it."""
        by_id = {one.id: one for one in self.nodes}
        matrix = node.parent_from_node.double()
        while node.parent is not None:
            node = by_id[node.parent]
            matrix = node.parent_from_node.double() @ matrix
        return matrix

    def _last(self, kind: type[Content]) -> tuple[Node, Content] | None:
        return next(((node, node.content) for node in reversed(self.nodes) if isinstance(node.content, kind)), None)

    def with_node(self, node: Node) -> Scene:
        """This scene with `node` added, or put in place of the node with its id."""
        kept = [old for old in self.nodes if old.id != node.id]
        position = next((i for i, old in enumerate(self.nodes) if old.id == node.id), len(kept))
        return replace(self, nodes=(*kept[:position], node, *kept[position:]))

    def extent(self) -> float:
        """Radius of the training cameras around their mean, times 1.1 (Kerbl et al. 2023, `cameras_extent`).

        The unit that learning rates and size limits are expressed in. 1 when fewer than two cameras exist or
        when they coincide.
        """
        views = self.split("train") or self.views
        if len(views) < 2:
            return 1.0
        centers = torch.stack([view.center for view in views])
        radius = float((centers - centers.mean(0)).norm(dim=-1).max()) * 1.1
        return radius if radius > 1e-9 else 1.0
