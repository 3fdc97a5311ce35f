"""Frames to an MP4 that browsers and phones play."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.scene.atomic import atomic_path


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write uint8 [H, W, 3] frames as H.264 in MP4, one at a time.

    An odd side is extended by one repeated pixel, because the chroma of H.264 is stored at half size. All frames have
    the size of the first. The file appears when it is complete.
    """
    import imageio.v2 as imageio

    if path.suffix.lower() != ".mp4":
        raise ReconError(f"{path}: video format", found=path.suffix or "no ending", wanted=".mp4")
    if not fps > 0:
        raise ReconError(f"{path}: frames per second", found=fps, wanted="a number above 0")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        writer = None
        shape: tuple[int, ...] = ()
        try:
            for frame in frames:
                if writer is None:
                    shape = frame.shape
                    # The container is named because the temporary file's ending says nothing; the index goes to the
                    # front of the file so that it plays while it loads. crf 18 shows no loss to the eye.
                    output = ["-crf", "18", "-f", "mp4", "-movflags", "+faststart"]
                    writer = imageio.get_writer(
                        temporary, format="FFMPEG", mode="I", fps=fps, codec="libx264", quality=None,
                        macro_block_size=1, pixelformat="yuv420p", output_params=output,
                    )  # fmt: skip
                if frame.shape != shape or frame.dtype != np.uint8 or frame.ndim != 3:
                    raise ValueError(f"a frame is {frame.dtype} {frame.shape}, the first is uint8 {shape}")
                height, width = shape[:2]
                writer.append_data(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ReconError(f"{path}: no frames to write", wanted="at least one")
