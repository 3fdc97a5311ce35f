"""USD: splats (`ParticleField3DGaussianSplat`, usd-core 26), the mesh and the cameras. Needs the extra `recon[usd]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import ReconError
from recon.io.formats.format import Format, array, as_splats, damaged, empty_gaussians, file_size, gaussians_of, rows
from recon.io.formats.quantize import unit
from recon.io.surface import triangles_as_mesh
from recon.scene import Mesh, Scene, Splats, View
from recon.scene.atomic import atomic_path
from recon.scene.families.appearance import logarithms, logits
from recon.scene.families.gaussian import rotations

_SUFFIXES = (".usd", ".usda", ".usdc")
_LONGEST_TEXT = 1 << 27
"""Text is parsed by the library as a whole, into twelve times its size in memory."""
_SENSOR = 36.0
"""Width of the film that focal lengths refer to, mm: USD has no pixels."""


def write(scene: Scene, path: Path) -> None:
    """The axes are the scene's own; the stage says that y is up. A mesh keeps its vertex colours and no texture; opaque
    triangles become one."""
    pxr = _library()
    if path.suffix.lower() not in _SUFFIXES:
        raise ReconError(f"{path}: USD", found=f"the suffix {path.suffix!r}", wanted=", ".join(_SUFFIXES))
    if scene.splats is None and scene.mesh is None:
        raise ReconError("the scene has neither splats nor a mesh", fix="run `recon run` on its scene.yaml first")
    stage = pxr.Usd.Stage.CreateInMemory()
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    if scene.metric:
        pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetDefaultPrim(pxr.UsdGeom.Xform.Define(stage, "/scene").GetPrim())
    if scene.splats is not None and scene.splats.family == "triangle":
        _write_mesh(pxr, stage, "/scene/triangles", triangles_as_mesh(scene.splats))
    elif scene.splats is not None:
        _write_splats(pxr, stage, gaussians_of(scene, "USD"))
    if scene.mesh is not None:
        _write_mesh(pxr, stage, "/scene/mesh", scene.mesh)
    for index, view in enumerate(scene.views):
        _write_camera(pxr, stage, f"/scene/cameras/view_{index:04d}", view)
    with atomic_path(path) as temporary:
        stage.GetRootLayer().Export(str(temporary))


def _write_splats(pxr: Any, stage: Any, splats: Splats) -> None:
    Vt = pxr.Vt
    prim = pxr.UsdVol.ParticleField3DGaussianSplat.Define(stage, "/scene/splats")
    means = array(splats, "means")
    scales = np.exp(array(splats, "log_scales"))
    prim.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(means))
    # numpy's view of quaternions has the real part last.
    prim.CreateOrientationsAttr(Vt.QuatfArray.FromNumpy(rotations(splats)))
    prim.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(scales))
    opacities = 1 / (1 + np.exp(-array(splats, "opacity_logits").astype(np.float64)))
    prim.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(opacities.astype(np.float32)))
    prim.CreateRadianceSphericalHarmonicsDegreeAttr(splats.sh_degree)
    harmonics = array(splats, "sh_coeffs")
    coefficients = prim.CreateRadianceSphericalHarmonicsCoefficientsAttr(
        Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(harmonics.reshape(-1, 3)))
    )
    coefficients.SetMetadata("interpolation", "vertex")
    coefficients.SetMetadata("elementSize", harmonics.shape[1])
    prim.CreateSortingModeHintAttr("cameraDistance")
    reach = 3 * scales.max(1, keepdims=True)
    extent = np.stack([(means - reach).min(0), (means + reach).max(0)]).astype(np.float32)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(extent))


def _write_mesh(pxr: Any, stage: Any, place: str, mesh: Mesh) -> None:
    Vt, prim = pxr.Vt, pxr.UsdGeom.Mesh.Define(stage, place)
    vertices = mesh.vertices.numpy()
    prim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(vertices))
    prim.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.numpy().astype(np.int32).reshape(-1)))
    prim.CreateSubdivisionSchemeAttr(pxr.UsdGeom.Tokens.none)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([vertices.min(0), vertices.max(0)])))
    if mesh.normals is not None:
        prim.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(mesh.normals.numpy()))
        prim.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    if mesh.colors is not None:
        color = prim.CreateDisplayColorPrimvar(pxr.UsdGeom.Tokens.vertex)
        color.Set(Vt.Vec3fArray.FromNumpy(mesh.colors.numpy()))


def _write_camera(pxr: Any, stage: Any, place: str, view: View) -> None:
    """Film and focal length in mm. USD cameras look down -z with y up, and rows of its matrices are our columns."""
    camera = pxr.UsdGeom.Camera.Define(stage, place)
    K, width, height = view.camera.K.double().numpy(), view.camera.width, view.camera.height
    per_pixel = _SENSOR / width
    camera.CreateFocalLengthAttr(float(K[0, 0] * per_pixel))
    camera.CreateHorizontalApertureAttr(_SENSOR)
    camera.CreateVerticalApertureAttr(float(height * K[0, 0] / K[1, 1] * per_pixel))
    camera.CreateHorizontalApertureOffsetAttr(float((width / 2 - K[0, 2]) * per_pixel))
    camera.CreateVerticalApertureOffsetAttr(float((K[1, 2] - height / 2) * K[0, 0] / K[1, 1] * per_pixel))
    camera.CreateClippingRangeAttr(pxr.Gf.Vec2f(0.01, 1e6))
    camera.GetPrim().SetDisplayName(view.name)
    pose = np.linalg.inv(view.world_to_camera.double().numpy())
    pose[:3, 1:3] *= -1
    camera.AddTransformOp().Set(pxr.Gf.Matrix4d(pose.T.tolist()))


def read(path: Path) -> Splats:
    """The first field of Gaussians of a stage; its transform must be the identity."""
    file_size(path)
    try:
        return _read(path, _Source(path))
    except _library().Tf.ErrorException as error:
        # "Error in 'function' at line 1 in file x : 'what the library says'", one or several.
        said = re.findall(r": '(.+)'\s*$", str(error), re.MULTILINE)
        raise damaged(path, "USD", (said[-1] if said else str(error).strip())[:100]) from None


def _read(path: Path, source: _Source) -> Splats:
    lengths = {}
    with source.field() as field:
        degree = int(field.GetRadianceSphericalHarmonicsDegreeAttr().Get())
        for name in _ATTRIBUTES:
            lengths[name] = len(source.values(field, name))
    count = lengths["Positions"]
    if not 0 <= degree <= 3 or lengths != dict.fromkeys(_ATTRIBUTES, count) | {_HARMONICS: count * (degree + 1) ** 2}:
        found = f"{count} places, {lengths['Scales']} scales, {lengths[_HARMONICS]} harmonics of degree {degree}"
        raise damaged(path, "USD", found)
    arrays = empty_gaussians(count, degree)
    for name, (parameter, converted) in _ATTRIBUTES.items():
        with source.field() as field:
            values = source.values(field, name)
            if len(values) != lengths[name]:
                raise damaged(path, "USD", f"{len(values)} {name}", lengths[name])
            per_splat = values.reshape(count, -1, 3) if name == _HARMONICS else values
            for piece in rows(count):
                arrays[parameter][piece] = converted(per_splat[piece].astype(np.float32))
            del values, per_splat
    return as_splats(arrays)


_HARMONICS = "RadianceSphericalHarmonicsCoefficients"
_ATTRIBUTES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    _HARMONICS: ("sh_coeffs", lambda values: values),
    "Positions": ("means", lambda values: values),
    "Orientations": ("quats", lambda values: unit(values)[:, [3, 0, 1, 2]]),
    "Scales": ("log_scales", lambda values: logarithms(values).numpy()),
    "Opacities": ("opacity_logits", lambda values: logits(values).numpy()),
}
"""The parameter that an attribute becomes, and how."""


class _Source:
    """The field of Gaussians in a file. A binary file is opened for each attribute: the library maps the file, and what
    was read of it counts as memory until it is closed."""

    def __init__(self, path: Path) -> None:
        self.path, self.pxr = path, _library()
        with path.open("rb") as file:
            binary = file.read(8) == b"PXR-USDC"
        if not binary and path.stat().st_size > _LONGEST_TEXT:
            raise ReconError(
                f"{path}: USD as text", found=f"{path.stat().st_size} bytes",
                wanted=f"at most {_LONGEST_TEXT}, or a binary file", fix=f"usdcat {path.name} -o {path.stem}.usdc",
            )  # fmt: skip
        self.stage = None if binary else self._stage()

    @contextmanager
    def field(self) -> Iterator[Any]:
        """Valid inside of the block only, as are its values."""
        pxr, path, stage = self.pxr, self.path, self.stage or self._stage()
        fields = [one for one in stage.Traverse() if one.IsA(pxr.UsdVol.ParticleField3DGaussianSplat)]
        if not fields:
            raise ReconError(f"{path}: no splats in it", wanted="a ParticleField3DGaussianSplat")
        field = pxr.UsdVol.ParticleField3DGaussianSplat(fields[0])
        if field.ComputeLocalToWorldTransform(0) != pxr.Gf.Matrix4d(1):
            raise ReconError(f"{path}: {fields[0].GetPath()} is moved", wanted="the identity", fix="bake its transform")
        yield field

    def values(self, field: Any, name: str) -> np.ndarray:
        """[N] or [N, C], not a copy. Each attribute has a form in half precision, too."""
        found = getattr(field, f"Get{name}Attr")().Get() or getattr(field, f"Get{name}hAttr")().Get()
        if not found:
            raise damaged(self.path, "USD", f"no {name}")
        return np.asarray(found)

    def _stage(self) -> Any:
        # Not by its name: the library would give what it read there before.
        return self.pxr.Usd.Stage.Open(self.pxr.Sdf.Layer.OpenAsAnonymous(str(self.path)))


def _library() -> Any:
    try:
        import pxr.Gf
        import pxr.Sdf
        import pxr.Tf
        import pxr.Usd
        import pxr.UsdGeom
        import pxr.UsdVol
        import pxr.Vt
    except ImportError:
        raise ReconError("USD needs the package usd-core", fix="pip install 'recon[usd]'") from None
    if not hasattr(pxr.UsdVol, "ParticleField3DGaussianSplat"):
        raise ReconError("USD: this usd-core knows no splats", wanted="26.3 or newer", fix="pip install -U usd-core")
    return pxr


def _is_usd(path: Path, head: bytes) -> bool:
    return path.suffix.lower() in _SUFFIXES and head.startswith((b"PXR-USDC", b"#usda"))


FORMAT = Format("scene.usdc", "splats, mesh and cameras for USD, extra `usd`", write, read, _is_usd)
