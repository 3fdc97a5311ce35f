"""The report: well-formed, self-contained, nothing in it can be read as markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from recon.evaluate import charts
from recon.evaluate.report import RepairPictures, Report, ViewPictures, render_html

VOID = {"meta", "img", "br", "line", "polyline"}


class Checker(HTMLParser):
    """Fails on a tag that is closed out of order; collects addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(name: str = "a.png") -> Report:
    picture = np.zeros((48, 64, 3), np.uint8)
    one = {"psnr": 21.5, "ssim": 0.8}
    return Report(
        title="fox",
        run={"argv": ["recon", "run"], "warnings": ["few <points>"], "stages": [], "differences": {"seed": 3}},
        metrics={"test": {**one, "views": {name: one}}, "train": {**one, "views": {name: one}}},
        pictures=[ViewPictures(name, picture, picture, picture, 21.5, 0.8)],
        history=[{"iteration": i, "loss": 1 / (i + 1), "psnr": 10.0 + i, "num_primitives": 100} for i in range(5)],
    )


def test_page_is_balanced_and_loads_nothing() -> None:
    checker = Checker()
    checker.feed(render_html(report()))
    assert checker.open == []
    assert checker.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.addresses)


def test_names_are_text_not_markup() -> None:
    page = render_html(report("<script>alert(1)</script>.png"))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_page_of_an_empty_run_is_a_page() -> None:
    checker = Checker()
    checker.feed(render_html(Report("empty", {}, {})))
    assert checker.open == []


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [5.0, 5.0, 5.0], [1e-4, 3e-4, 2e-4], [-3.0, 1e6, 20.0]])
def test_chart_keeps_its_curve_inside(values: list[float]) -> None:
    svg = charts.line_chart("t", range(len(values)), values, "dB", width=340)
    points = re.search(r'points="([^"]*)"', svg)
    assert points is not None
    for pair in points[1].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= 340
        assert 0 <= y <= 170


def test_chart_of_less_than_two_points_is_nothing() -> None:
    assert charts.line_chart("t", [1.0], [1.0]) == ""
    assert charts.line_chart("t", [1.0, 2.0], [1.0, float("nan")]) == ""


def test_heat_runs_from_dark_to_light() -> None:
    brightness = charts.heat(np.linspace(0, 1, 50)).astype(int).sum(-1)
    assert (np.diff(brightness) > 0).all()
    assert (charts.heat(np.array([-1.0, 2.0])) == charts.heat(np.array([0.0, 1.0]))).all()


def test_a_repair_stands_beside_the_render_with_its_confidence() -> None:
    plain = report()
    picture = np.zeros((48, 64, 3), np.uint8)
    repair = RepairPictures(picture, picture, {"psnr": 23.25, "ssim": 0.85})
    page = render_html(replace(plain, pictures=[one.with_repair(repair) for one in plain.pictures]))
    Checker().feed(page)
    assert "repaired, 23.25 dB" in page and "confidence of a.png" in page
    assert "repaired" not in render_html(plain)
