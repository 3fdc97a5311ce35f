"""Whatever happens while a scene is published, the last one stays whole."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asymmetric_scene
import pytest
import torch

from recon.errors import ReconError
from recon.scene import Node, Scene, Splats
from recon.scene import store as store_module
from recon.scene.store import SceneStore


def _numbered(number: int) -> Scene:
    """A scene whose every part says `number`, so that a mixture of two is seen."""
    splats = asymmetric_scene.splats(200)
    params = {**splats.params, "means": torch.full((200, 3), float(number))}
    return Scene(nodes=(Node("splats", Splats("gaussian", params)), Node(f"group-{number}")))


def _publish(root: Path, number: int) -> None:
    store = SceneStore(root)
    with store.lock():
        store.prune()
        with store.begin("splats", str(number)) as writer:
            (writer.path / "number.txt").write_text(str(number))
            writer.publish(_numbered(number), {"number": number})


def _check_whole(root: Path) -> int:
    scene = SceneStore(root).load()
    (record,) = scene.provenance
    number = record.info["number"]
    assert scene.splats is not None and bool((scene.splats["means"] == number).all())
    assert scene.nodes[1].id == f"group-{number}"
    assert (root / "stages" / record.folder / "number.txt").read_text() == str(number)
    return int(number)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A forked child must not wait for threads that it does not have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _child(root: Path, first: int) -> int:
    """Fork a publisher that goes on for ever."""
    pid = os.fork()
    if pid == 0:
        try:
            number = first
            while True:
                _publish(root, number)
                number += 1
        finally:
            os._exit(1)
    return pid


def test_a_killed_publisher_never_tears_the_scene(tmp_path: Path) -> None:
    _publish(tmp_path, 0)
    begin = time.perf_counter()
    _publish(tmp_path, 0)
    span = 3 * (time.perf_counter() - begin)  # so that some kills come after a publication on a slow machine, too
    moments, number, advanced, leftovers = random.Random(4), 0, 0, 0
    for _ in range(45):
        pid = _child(tmp_path, number + 1)
        time.sleep(moments.uniform(0.0, span))
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL  # it was publishing to the end
        leftovers += bool(list(tmp_path.glob("stages/.tmp-*")) or list(tmp_path.glob(".tmp-*")))
        seen = _check_whole(tmp_path)
        assert seen >= number
        advanced += seen > number
        number = seen + 1
        begin = time.perf_counter()
        _publish(tmp_path, number)  # the retry
        span = max(span, 3 * (time.perf_counter() - begin))  # the machine may be slower by now
        assert _check_whole(tmp_path) == number
        assert not list(tmp_path.glob("stages/.tmp-*"))
    # The kills hit: some before the first publication was through, some in the middle of writing, some after.
    assert leftovers >= 5 and 1 <= advanced <= 45


def test_leaving_without_publishing_removes_the_folder(tmp_path: Path) -> None:
    _publish(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RuntimeError, match="stage failed"), SceneStore(tmp_path).begin("mesh", "k") as writer:
        (writer.path / "big.bin").write_bytes(b"0" * 100)
        raise RuntimeError("stage failed")
    assert sorted(tmp_path.rglob("*")) == before and _check_whole(tmp_path) == 1


@pytest.mark.parametrize("step", ["sync", "write_json_atomic"])
def test_a_failed_publication_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    _publish(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, step, full)
    with pytest.raises(OSError, match="No space"), SceneStore(tmp_path).begin("splats", "2") as writer:
        writer.publish(_numbered(2), {"number": 2})
    monkeypatch.undo()
    assert sorted(tmp_path.rglob("*")) == before and _check_whole(tmp_path) == 1
    _publish(tmp_path, 2)
    assert _check_whole(tmp_path) == 2


def test_a_refused_tensor_file_is_an_oserror(tmp_path: Path) -> None:
    _publish(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # the kernel refuses larger files, as a full disk
        try:
            _publish(tmp_path, 2)
        except OSError as error:
            os._exit(0 if error.errno and str(tmp_path) in str(error) else 2)
        except BaseException:
            os._exit(3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sorted(tmp_path.rglob("*")) == before and _check_whole(tmp_path) == 1


def test_a_second_run_is_told_that_the_folder_is_busy(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from recon.scene.lock import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ReconError, match=rf"busy.*process {holder.pid}"), SceneStore(tmp_path).lock():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with SceneStore(tmp_path).lock():  # a dead holder holds nothing
        pass


def test_a_replaced_stage_leaves_the_record_of_its_successor_alone(tmp_path: Path) -> None:
    _publish(tmp_path, 1)
    _publish(tmp_path, 2)
    scene = SceneStore(tmp_path).load()
    assert [record.key for record in scene.provenance] == ["2"]
    with SceneStore(tmp_path).begin("mesh", "m") as writer:
        published = writer.publish(replace(scene, metric=True))
    assert [record.stage for record in published.provenance] == ["splats", "mesh"]
    assert len(list((tmp_path / "stages").iterdir())) == 3  # published folders are never removed
