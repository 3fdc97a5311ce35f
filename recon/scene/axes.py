"""Other world axes: by name, by which way is up, or those of the capture."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.errors import ReconError
from recon.scene.scene import Scene
from recon.scene.transform import Similarity, transform_scene

_NAMES = {"x": 0, "y": 1, "z": 2}


def parse_axes(text: str) -> Tensor:
    """[3, 3] float64 of "x,-z,y": new x is old x, new y is minus old z, new z is old y. ReconError for mirrors."""
    rows = []
    for name in text.replace(" ", "").split(","):
        sign, axis = (-1.0, name[1:]) if name.startswith("-") else (1.0, name.removeprefix("+"))
        if axis not in _NAMES:
            break
        row = torch.zeros(3, dtype=torch.float64)
        row[_NAMES[axis]] = sign
        rows.append(row)
    matrix = torch.stack(rows) if len(rows) == 3 else torch.zeros(3, 3, dtype=torch.float64)
    determinant = float(torch.linalg.det(matrix))
    if determinant < 0.5:
        raise ReconError(
            f"axes {text!r}", found="a mirror image" if determinant < -0.5 else "no three axes",
            wanted="three signed axes that turn right-handed into right-handed ones, such as x,-z,y",
        )  # fmt: skip
    return matrix


def scene_up(scene: Scene) -> Tensor:
    """[3] float64, unit: the mean of the cameras' upward directions. ReconError without cameras or when they cancel."""
    if not scene.views:
        raise ReconError("which way is up is taken from the cameras", found="a scene without views", fix="use --axes")
    total = torch.stack([-view.world_to_camera[1, :3].double() for view in scene.views]).mean(0)
    if float(total.norm()) < 0.2:
        raise ReconError("which way is up", found="cameras that disagree", fix="use --axes")
    return total / total.norm()


def turned(scene: Scene, axes: str | None = None, up: str | None = None) -> Scene:
    """The scene with axes renamed as `axes` says, or turned by the least angle that brings its up to the axis `up`."""
    if axes is not None:
        rotation = parse_axes(axes)
    elif up is not None:
        target = torch.zeros(3, dtype=torch.float64)
        target[_NAMES[up[-1]]] = -1.0 if up.startswith("-") else 1.0
        rotation = _shortest(scene_up(scene), target)
    else:
        return scene
    return transform_scene(scene, Similarity(1.0, rotation, torch.zeros(3, dtype=torch.float64)))


def in_source_coordinates(scene: Scene) -> Scene:
    """The scene where its capture had it: `source_from_world` becomes the identity."""
    return transform_scene(scene, Similarity.of(scene.source_from_world, "source_from_world"))


def _shortest(a: Tensor, b: Tensor) -> Tensor:
    """[3, 3] rotation by the least angle that takes unit a to unit b."""
    cross, dot = torch.linalg.cross(a, b), float(a @ b)
    if dot < -1 + 1e-9:  # any half turn about an axis across
        across = torch.linalg.cross(a, torch.eye(3, dtype=torch.float64)[int(a.abs().argmin())])
        across = across / across.norm()
        return 2 * torch.outer(across, across) - torch.eye(3, dtype=torch.float64)
    x, y, z = cross.tolist()
    skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + skew + skew @ skew / (1 + dot)
