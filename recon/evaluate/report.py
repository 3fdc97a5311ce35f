"""`report.html`: one file that shows how well a run went, with nothing loaded from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from recon.evaluate import charts
from recon.evaluate.image import Comparison
from recon.evaluate.repair import RepairedView

# Base64 of three JPEGs per view: beyond this many views the pictures shrink so that the file can still be mailed.
_FULL_SIZE_VIEWS = 16


@dataclass(frozen=True)
class RepairPictures:
    """What priors made of one view; images [H, W, 3] uint8."""

    image: np.ndarray
    """As far as it is trusted."""
    confidence: np.ndarray
    """How sure the scene is, bright where it is: there the render stays as it is."""
    measured: dict[str, float]
    """PSNR and SSIM of `image`."""

    @staticmethod
    def of(view: RepairedView, comparison: Comparison) -> RepairPictures:
        """Reduce to bytes; `comparison` is that of the view's image."""
        grey = view.request.confidence[..., None].expand(*view.request.alpha.shape, 3)
        measured = {"psnr": comparison.psnr, "ssim": comparison.ssim}
        return RepairPictures(charts.to_bytes(view.image), charts.to_bytes(grey), measured)


@dataclass(frozen=True)
class ViewPictures:
    """What the report shows of one view; images [H, W, 3] uint8."""

    name: str
    photo: np.ndarray
    rendered: np.ndarray
    error: np.ndarray
    psnr: float
    ssim: float
    mesh: np.ndarray | None = None
    """The mesh as the view sees it, where there is one."""
    repair: RepairPictures | None = None
    """What priors made of the view, where they were asked."""

    def with_repair(self, repair: RepairPictures | None) -> ViewPictures:
        """These pictures with those of a repair."""
        return replace(self, repair=repair)

    @staticmethod
    def of(comparison: Comparison, mesh: Comparison | None = None) -> ViewPictures:
        """Reduce comparisons to bytes, so that many can be kept. mesh: that of the mesh, where there is one."""
        return ViewPictures(
            comparison.view.name,
            charts.to_bytes(comparison.photo),
            charts.to_bytes(comparison.rendered),
            charts.error_map(comparison.rendered, comparison.photo),
            comparison.psnr,
            comparison.ssim,
            None if mesh is None else charts.to_bytes(mesh.rendered),
        )


@dataclass(frozen=True)
class Report:
    """Everything that goes on the page."""

    title: str
    run: Mapping[str, Any]
    """What run.json holds; may be empty."""
    metrics: Mapping[str, Any]
    """What metrics.json holds."""
    pictures: Sequence[ViewPictures] = ()
    pictured: str = "Held-out views"
    """Heading over `pictures`."""
    history: Sequence[Mapping[str, float]] = field(default_factory=tuple)
    """Rows with `iteration` and some of `loss`, `psnr`, `num_primitives`, in order."""


def render_html(report: Report) -> str:
    """The page as a text."""
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    body = "".join(
        [
            f"<h1>{escape(report.title)}</h1>",
            f'<p class="sub">{escape(_subtitle(report.run))}</p>',
            _headline(report),
            _warnings(report.run),
            _views(report),
            _curves(report.history),
            "<h2>Details</h2>",
            '<div class="tables">',
            _view_table("Held-out views", report.metrics.get("test", {})),
            _view_table("Training views", report.metrics.get("train", {})),
            _table("Set differently from the defaults", report.run.get("differences", {})),
            _stages(report.run),
            _table("Machine and versions", {**report.run.get("host", {}), **report.run.get("versions", {})}),
            "</div>",
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)} - recon report</title><style>{css}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _subtitle(run: Mapping[str, Any]) -> str:
    parts = [run.get("finished", ""), " ".join(run.get("argv", [])), "interrupted" if run.get("interrupted") else ""]
    return " · ".join(str(part) for part in parts if part)


def _headline(report: Report) -> str:
    test, train = report.metrics.get("test", {}), report.metrics.get("train", {})
    stages = report.run.get("stages", [])
    splats: Mapping[str, Any] = next((stage for stage in stages if stage["stage"] == "splats"), {})
    mesh: Mapping[str, Any] = report.metrics.get("mesh", {})
    numbers = [
        (f"{test['psnr']:.2f} dB", "PSNR, held out") if test else None,
        (f"{test['ssim']:.3f}", "SSIM, held out") if test else None,
        (f"{train['psnr']:.2f} dB", "PSNR, training") if train else None,
        (f"{splats['num_primitives']:,}", "splats") if "num_primitives" in splats else None,
        (f"{len(train['views'])} / {len(test.get('views', {}))}", "photos trained / held out") if train else None,
        (f"{mesh['test']['psnr']:.2f} dB", "mesh, held out") if mesh.get("test") else None,
        (f"{mesh['triangles']:,}", "triangles") if mesh else None,
        (_seconds(splats["optimize_seconds"]), "to optimise") if "optimize_seconds" in splats else None,
    ]
    return (
        '<div class="numbers">'
        + "".join(f"<div><b>{escape(value)}</b><span>{label}</span></div>" for value, label in filter(None, numbers))
        + "</div>"
    )


def _warnings(run: Mapping[str, Any]) -> str:
    warnings = run.get("warnings", [])
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(str(text))}</li>" for text in warnings)
    return f'<h2>Warnings</h2><div class="panel"><ul class="warnings">{items}</ul></div>'


def _views(report: Report) -> str:
    if not report.pictures:
        return ""
    height, width = report.pictures[0].photo.shape[:2]
    shape = " wide" if width > 1.2 * height else ""
    side = 720 if len(report.pictures) <= _FULL_SIZE_VIEWS else 400

    def figure(image: np.ndarray, caption: str, view: str) -> str:
        source = charts.data_uri(image, side)
        return (
            f'<figure><img src="{source}" alt="{caption} of {escape(view)}"><figcaption>{caption}</figcaption></figure>'
        )

    def mesh_figure(one: ViewPictures) -> str:
        return "" if one.mesh is None else figure(one.mesh, "mesh", one.name)

    def repair_figures(one: ViewPictures) -> str:
        if one.repair is None:
            return ""
        caption = f"repaired, {one.repair.measured['psnr']:.2f} dB"
        return figure(one.repair.image, caption, one.name) + figure(one.repair.confidence, "confidence", one.name)

    cards = "".join(
        f'<section class="view"><header><b>{escape(one.name)}</b>'
        f"<span>{one.psnr:.2f} dB · SSIM {one.ssim:.3f}</span></header>"
        f'<div class="row{shape}">{figure(one.photo, "photo", one.name)}{figure(one.rendered, "render", one.name)}'
        f"{figure(one.error, 'error', one.name)}{mesh_figure(one)}{repair_figures(one)}</div></section>"
        for one in report.pictures
    )
    legend = (
        f'<div class="legend"><span>error 0</span><i style="background:{charts.heat_gradient()}"></i>'
        f"<span>{charts.ERROR_SCALE} and more: mean absolute difference over the colour channels, white - black = 1"
        "</span></div>"
    )
    return f'<h2>{escape(report.pictured)}</h2>{legend}<div class="views{shape}">{cards}</div>'


def _curves(history: Sequence[Mapping[str, float]]) -> str:
    drawn = []
    for key, title, unit in (
        ("psnr", "PSNR on training photos", "dB"),
        ("loss", "Loss", ""),
        ("num_primitives", "Number of splats", ""),
    ):
        rows = [row for row in history if row.get(key) is not None]
        svg = charts.line_chart(title, [row["iteration"] for row in rows], [row[key] for row in rows], unit)
        if svg:
            drawn.append(f'<div class="panel">{svg}</div>')
    return f'<h2>Optimisation</h2><div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _view_table(title: str, metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return ""
    rows = [(name, one["psnr"], one["ssim"]) for name, one in metrics["views"].items()]
    rows.append(("mean", metrics["psnr"], metrics["ssim"]))
    body = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{decibel:.2f}</td><td class="number">{similarity:.3f}</td></tr>'
        for name, decibel, similarity in rows
    )
    head = '<tr><th>view</th><th class="number">PSNR, dB</th><th class="number">SSIM</th></tr>'
    return f'<div class="panel"><h3>{escape(title)}</h3><table>{head}{body}</table></div>'


def _stages(run: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(stage['stage'])}{' (reused)' if stage.get('reused') else ''}"
        f"{' (interrupted)' if stage.get('interrupted') else ''}</td>"
        f'<td class="number">{_seconds(stage["seconds"])}</td>'
        f'<td class="number">{stage["peak_memory_mb"]:,.0f} MB</td></tr>'
        for stage in run.get("stages", [])
        if "seconds" in stage and "peak_memory_mb" in stage
    )
    if not rows:
        return ""
    head = '<tr><th>stage</th><th class="number">time</th><th class="number">peak memory</th></tr>'
    return f'<div class="panel"><h3>Time and memory</h3><table>{head}{rows}</table></div>'


def _table(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = "".join(
        f"<tr><td>{escape(str(key))}</td><td><code>{escape(str(value))}</code></td></tr>"
        for key, value in values.items()
    )
    return f'<div class="panel"><h3>{escape(title)}</h3><table>{rows}</table></div>'


def _seconds(value: float) -> str:
    if value < 100:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60):02d} s"
