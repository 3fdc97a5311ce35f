"""Events as people read them: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from recon.events import Event, FileWritten, Listener, StageFinished, StageStarted, StageWarning
from recon.events import Progress as ProgressEvent

# Plain lines go to log files: one every few seconds is enough to see that it runs.
_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def make_listener(quiet: bool) -> Iterator[Listener]:
    """The listener for this terminal: warnings only, a live bar, or lines."""
    if quiet:
        yield _Quiet()
    elif sys.stderr.isatty():
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<11}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            yield _Bar(bar, console)
    else:
        yield _Lines()


def words(event: ProgressEvent) -> str:
    """A progress event in one line, without the stage."""
    parts = [f"{event.iteration}/{event.total}"]
    if event.it_per_s is not None:
        parts.append(f"{event.it_per_s:.1f} it/s")
    if event.num_primitives is not None:
        parts.append(f"N {event.num_primitives:,}")
    if event.psnr is not None:
        parts.append(f"PSNR {event.psnr:.2f} dB")
    if event.eta_s is not None:
        parts.append(f"{clock(event.eta_s)} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """75.2 as "1:15"."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def finished(event: StageFinished) -> str:
    """The line that ends a stage."""
    how = "reused" if event.reused else "interrupted" if event.interrupted else f"{event.seconds:.1f} s"
    return f"{event.stage}: {event.summary} ({how})" if event.summary else f"{event.stage}: {how}"


class _Quiet:
    def __call__(self, event: Event, /) -> None:
        if isinstance(event, StageWarning):
            print(f"warning: {event.stage}: {event.message}", file=sys.stderr, flush=True)


class _Lines:
    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, event: Event, /) -> None:
        match event:
            case StageStarted(stage=stage):
                self.last = time.monotonic()
                self._print(f"{stage} ...")
            case ProgressEvent(stage=stage):
                if time.monotonic() - self.last >= _SECONDS_BETWEEN_LINES:
                    self.last = time.monotonic()
                    self._print(f"{stage}: {words(event)}")
            case StageWarning(stage=stage, message=message):
                self._print(f"warning: {stage}: {message}")
            case StageFinished():
                self._print(finished(event))
            case FileWritten(path=path):
                self._print(f"wrote {path}")

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, bar: Progress, console: Console) -> None:
        self.bar, self.console = bar, console
        self.task: TaskID | None = None

    def __call__(self, event: Event, /) -> None:
        match event:
            case StageStarted(stage=stage, total=total):
                self._clear()
                self.task = self.bar.add_task(stage, total=total, words="")
            case ProgressEvent(iteration=iteration, total=total) if self.task is not None:
                self.bar.update(self.task, completed=iteration, total=total, words=words(event))
            case StageWarning(stage=stage, message=message):
                self.console.print(f"[yellow]warning[/] {stage}: {escape(message)}", highlight=False)
            case StageFinished():
                self._clear()
                self.console.print(f"[green]done[/] {escape(finished(event))}", highlight=False)
            case FileWritten(path=path):
                self.console.print(f"  wrote {escape(path)}", highlight=False)

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
