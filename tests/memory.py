"""How much memory this process has had at once. `ru_maxrss` is no answer: a child starts with its parent's."""

from __future__ import annotations

from pathlib import Path

import pytest


def peak_mb() -> float:
    """Most memory in use since the start or `forget_peak`, MiB; skips the test where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc/self/status, which says how much memory was in use")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak() -> None:
    """From here on `peak_mb` counts anew, from what is in use now."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
