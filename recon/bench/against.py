"""recon's Gaussians against gsplat's on one GPU: forward, backward, a whole training iteration, memory.

Both get the same tensors, and pictures and gradients are compared before anything is timed. An iteration is forward,
0.8 L1 + 0.2 (1 - SSIM), backward and a step of Adam on every parameter. gsplat has no loss of its own: it is given
recon's fused one. It is run in every mode it offers (packed or not, torch's fused Adam or its own selective one), and
ratios are taken against the best of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from recon.bench.measure import median_device_ms
from recon.bench.report import Report
from recon.bench.scenes import BenchScene, garden, trained_like
from recon.errors import ReconError
from recon.render.adam import adam_step
from recon.render.gpu import counted_later
from recon.render.image_loss import l1_ssim
from recon.render.rasterize import rasterize

WIDTH, HEIGHT = 1920, 1080
COLUMNS = ("forward", "backward", "iteration", "peak MB")
Params = dict[str, Tensor]


@dataclass(frozen=True)
class Engine:
    """One way to render and to step."""

    name: str
    draw: Callable[[Params, BenchScene], tuple[Tensor, Tensor]]
    """Colour [H, W, 3] and which primitives are visible [N] bool."""
    stepper: Callable[[Params], Callable[[Tensor], None]]
    """Takes parameters to a function that updates them, given what was visible."""


def against_gsplat(
    report: Report, repeats: int, scenes: Sequence[BenchScene] | None = None, device: torch.device | None = None
) -> None:
    """Add the comparison on `scenes`: by default garden 1x1, 3x3 and 5x5 (where the capture is) and one million
    Gaussians like trained ones.

    Raises ReconError without gsplat or a GPU, and when the two disagree on a picture or a gradient.
    """
    if importlib.util.find_spec("gsplat") is None:
        raise ReconError("gsplat is not installed", fix="pip install gsplat==1.5.3")
    if device is None:
        if not torch.cuda.is_available():
            raise ReconError("--against gsplat: gsplat renders on a GPU alone", found="torch sees no CUDA device")
        device = torch.device("cuda")
    if scenes is None:
        scenes = [trained_like(1_000_000, WIDTH, HEIGHT)]
        try:
            scenes = [*(garden(n, WIDTH, HEIGHT) for n in (1, 3, 5)), *scenes]
        except ReconError as error:
            print(f"without the garden scenes: {error}", flush=True)
    rows: list[list[object]] = []
    for scene in scenes:
        there = scene.to(device)
        _check_agreement(there)
        found = [_measure(engine, there, repeats, device) for engine in (RECON, *GSPLAT)]
        first = [scene.name, len(there.params["means"])]
        for engine, numbers in zip((RECON, *GSPLAT), found, strict=True):
            rows.append([*first, engine.name, *(numbers[key] for key in COLUMNS)])
        ratios = [min(other[key] for other in found[1:]) / found[0][key] for key in COLUMNS]
        rows.append([*first, "best gsplat / recon", *ratios])
    report.add(["scene", "primitives", "what", *COLUMNS], rows, f"Against gsplat {version('gsplat')}")


def _recon_draw(params: Params, scene: BenchScene) -> tuple[Tensor, Tensor]:
    render = rasterize(params, scene.world_to_camera, scene.K, scene.width, scene.height)
    return render.color, render.radii > 0


def _recon_stepper(params: Params) -> Callable[[Tensor], None]:
    moments = {name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in params.items()}

    def step(visible: Tensor) -> None:
        for name, value in params.items():
            assert value.grad is not None
            adam_step(value.detach(), value.grad, *moments[name], step=1, lr=0.0, visible=visible)

    return step


def _gsplat_draw(packed: bool) -> Callable[[Params, BenchScene], tuple[Tensor, Tensor]]:
    def draw(params: Params, scene: BenchScene) -> tuple[Tensor, Tensor]:
        from gsplat import rasterization

        colors, _, info = rasterization(
            params["means"], params["quats"], params["log_scales"].exp(), params["opacity_logits"].sigmoid(),
            params["sh_coeffs"], scene.world_to_camera[None], scene.K[None], scene.width, scene.height, sh_degree=3,
            packed=packed,
        )  # fmt: skip
        if packed:
            visible = torch.zeros(len(params["means"]), dtype=torch.bool, device=colors.device)
            visible[info["gaussian_ids"]] = True
        else:
            visible = (info["radii"][0] > 0).all(-1)
        return colors[0], visible

    return draw


def _torch_adam(params: Params) -> Callable[[Tensor], None]:
    optimizer = torch.optim.Adam([{"params": [value]} for value in params.values()], lr=0.0, eps=1e-15, fused=True)
    return lambda visible: optimizer.step()


def _selective_adam(params: Params) -> Callable[[Tensor], None]:
    from gsplat.optimizers import SelectiveAdam

    groups = [{"params": [value], "lr": 0.0} for value in params.values()]
    optimizer = SelectiveAdam(groups, eps=1e-15, betas=(0.9, 0.999))
    return lambda visible: optimizer.step(visible)


RECON = Engine("recon", _recon_draw, _recon_stepper)
GSPLAT = (
    Engine("gsplat, torch Adam", _gsplat_draw(packed=False), _torch_adam),
    Engine("gsplat, selective Adam", _gsplat_draw(packed=False), _selective_adam),
    Engine("gsplat packed, selective Adam", _gsplat_draw(packed=True), _selective_adam),
)


def _leaves(scene: BenchScene) -> Params:
    return {name: value.clone().requires_grad_() for name, value in scene.params.items()}


def _direction(scene: BenchScene) -> Tensor:
    g = torch.Generator().manual_seed(2)
    return torch.randn(scene.height, scene.width, 3, generator=g).to(scene.K.device)


def _check_agreement(scene: BenchScene) -> None:
    """A primitive that is as faint as 1/255 may count for one and not for the other: a few pixels may differ."""
    mine, theirs, direction = _leaves(scene), _leaves(scene), _direction(scene)
    found, wanted = _recon_draw(mine, scene)[0], GSPLAT[0].draw(theirs, scene)[0]
    share = float(((found - wanted).detach().abs().amax(-1) > 0.02).float().mean())
    if share > 0.01:
        raise ReconError(f"{scene.name}: the pictures differ", found=f"{share:.1%} of the pixels by more than 0.02")
    torch.autograd.backward([found, wanted], [direction, direction])
    for name, leaf in mine.items():
        ours, other = leaf.grad, theirs[name].grad
        assert ours is not None and other is not None
        error = float((ours - other).norm() / other.norm().clamp_min(1e-20))
        if error > 0.05:
            raise ReconError(
                f"{scene.name}: the gradients of {name} differ", found=f"{error:.1%}", wanted="at most 5 %"
            )


def _measure(engine: Engine, scene: BenchScene, repeats: int, device: torch.device) -> dict[str, float]:
    params, direction = _leaves(scene), _direction(scene)
    target = torch.rand(scene.height, scene.width, 3, generator=torch.Generator().manual_seed(1)).to(device)
    step = engine.stepper(params)

    def forget() -> None:
        for value in params.values():
            value.grad = None

    def forward() -> None:
        with torch.no_grad():
            engine.draw(params, scene)

    def both() -> None:
        forget()
        torch.autograd.backward(engine.draw(params, scene)[0], direction)

    def iteration() -> None:
        forget()
        color, visible = engine.draw(params, scene)
        l1_ssim(color, target).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            step(visible)

    times = {"forward": median_device_ms(forward, repeats, device)}
    times["backward"] = median_device_ms(both, repeats, device) - times["forward"]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with counted_later():  # as training does
        times["iteration"] = median_device_ms(iteration, repeats, device)
    peak = torch.cuda.max_memory_allocated() / 1e6 if device.type == "cuda" else float("nan")
    return {**times, "peak MB": peak}
