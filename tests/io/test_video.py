"""Videos read back by an independent decoder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from recon.errors import ReconError
from recon.io.video import write_video


@pytest.mark.parametrize("size", [(48, 64), (45, 63)])
def test_frames_read_back(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    frames = [np.full((height, width, 3), (20 * i, 200 - 20 * i, 90), np.uint8) for i in range(8)]
    write_video(tmp_path / "new" / "a.mp4", iter(frames), 12)
    video = cv2.VideoCapture(str(tmp_path / "new" / "a.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == 12
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == width + width % 2
    assert video.get(cv2.CAP_PROP_FRAME_HEIGHT) == height + height % 2
    found = []
    while (step := video.read())[0]:
        found.append(step[1][..., ::-1])
    assert len(found) == 8
    for frame, back in zip(frames, found, strict=True):
        # Lossy, and limited-range YUV in 8 bits: a few levels.
        assert np.abs(back[:height, :width].astype(int) - frame).max() <= 8
    content = (tmp_path / "new" / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays while it loads


def test_a_failure_leaves_the_old_video_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frame = np.zeros((16, 16, 3), np.uint8)
    write_video(path, [frame, frame], 10)
    old = path.read_bytes()

    def failing() -> object:
        yield frame
        raise RuntimeError("renderer failed")

    with pytest.raises(RuntimeError, match="renderer failed"):
        write_video(path, failing(), 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(16, 18, 3\), the first is uint8 \(16, 16, 3\)"):
        write_video(path, [frame, np.zeros((16, 18, 3), np.uint8)], 10)
    with pytest.raises(ReconError, match="no frames"):
        write_video(path, [], 10)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ReconError, match=r"a\.gif: video format: found \.gif, wanted \.mp4"):
        write_video(tmp_path / "a.gif", [], 10)
    with pytest.raises(ReconError, match="frames per second: found 0"):
        write_video(tmp_path / "a.mp4", [], 0)
