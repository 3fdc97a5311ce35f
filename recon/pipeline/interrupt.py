"""Ctrl-C that lets a stage finish its step and publish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Control(Protocol):
    """Somebody besides the keyboard who may hold or end a stage, such as a viewer."""

    def should_stop(self, interrupted: Callable[[], bool], /) -> bool:
        """Asked after every step. May wait while the stage is to pause, but not once `interrupted()` is true."""
        ...


class Uncontrolled:
    """The keyboard alone decides."""

    def should_stop(self, interrupted: Callable[[], bool], /) -> bool:
        """Whether Ctrl-C was pressed."""
        return interrupted()


@contextmanager
def graceful_stop() -> Iterator[Callable[[], bool]]:
    """A function that says whether the user asked to stop, by Ctrl-C or SIGTERM, since the block began.

    The first signal only sets the flag; a second one raises KeyboardInterrupt at once. Signals are left alone outside
    of the main thread, where Python does not allow to handle them.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
