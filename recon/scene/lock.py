"""One writer per output folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recon.errors import ReconError


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process. ReconError when another process holds it.

    The kernel drops the lock when its holder ends, however it ends, so there are no stale locks to clean up; the file
    only tells people who holds it.
    """
    path = folder / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode(errors="replace").strip() or "another process"
            raise ReconError(
                f"{folder}: busy", found=f"a run by {holder}", fix="wait for it, stop it, or set another output"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
