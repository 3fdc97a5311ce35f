"""The launcher where nerfstudio is not installed."""

from __future__ import annotations

import importlib.metadata

import pytest

from recon.cli.main import main


def test_a_missing_nerfstudio_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    if any(entry.name == "ns-train" for entry in importlib.metadata.entry_points(group="console_scripts")):
        pytest.skip("nerfstudio is installed here")
    assert main(["ns-train", "recon"]) == 2
    assert "ns-train: nerfstudio is not installed; see docs/nerfstudio.md" in capsys.readouterr().err


def test_the_methods_are_registered() -> None:
    found = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="nerfstudio.method_configs")}
    assert found["recon"] == "recon.plugins.nerfstudio:recon"
    assert found["recon-fast"] == "recon.plugins.nerfstudio:recon_fast"
