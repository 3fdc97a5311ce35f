"""A run that is watched: events and splats go to the pages, and they may pause and stop it.

Two threads meet here: the optimisation calls the listener and `should_stop`, the server's loop owns the clients. What
both of them touch is a few attributes of simple types and one condition.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from pydantic import TypeAdapter

from recon import events
from recon.viewer import messages
from recon.viewer.frames import pack_frame, pack_points
from recon.viewer.photos import photos_message, small_picture

LOG = logging.getLogger("recon.viewer")

MAX_MESSAGE_BYTES = 4096
"""Of what a page sends: a few dozen bytes."""
# Watching takes at most this share of the optimisation's time, however many splats there are.
_SHARE = 0.01
_TUNE = TypeAdapter(messages.Tune)
_ACTIONS = ("pause", "resume", "stop")


@dataclass(eq=False)
class _Client:
    """A page that watches."""

    socket: web.WebSocketResponse
    waiting: bool = False
    """A frame is on its way to it and has not been acknowledged."""
    missed: bool = False
    """There is a newer frame than the last one sent."""


class LiveRun:
    """Listener and control of a run, and the other end of api/live."""

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._clients: set[_Client] = set()
        self._watched = False
        self._state = messages.RunState("running")
        self._latest: dict[str, Any] = {}
        self._frame: tuple[int, bytes] | None = None
        self._frames = 0
        self._next_frame = 0.0
        self._photos: dict[str, Path] = {}
        self._pictures: dict[str, bytes] = {}
        self._one_picture = asyncio.Lock()
        self._changed = threading.Condition()
        self.interrupted = False
        """Ctrl-C ended the run, rather than a page."""
        self._tasks: set[Task[None]] = set()

    def attach(self, loop: AbstractEventLoop) -> None:
        """Called by the server with the loop that clients live in."""
        self._loop = loop

    # The optimisation's thread.

    def __call__(self, event: events.Event, /) -> None:
        match event:
            case events.StageStarted(stage=stage):
                self._tell(messages.StageStarted(stage))
            case events.Progress():
                self._tell(messages.Progress(**{f.name: getattr(event, f.name) for f in fields(event)}))
                end_at = self._state.end_at
                if event.stage == "splats" and end_at is not None and event.iteration >= end_at:
                    self._control("stop")
            case events.StageWarning(stage=stage, message=message):
                self._tell(messages.Warned(stage, message))
            case events.StageFinished():
                self._tell(messages.StageFinished(event.stage, event.seconds, event.interrupted, event.summary))
            case events.PhotosPlaced():
                self._place(event)
            case events.SplatsMoved():
                self._maybe_frame(event)
            case events.FileWritten():
                pass

    def should_stop(self, interrupted: Callable[[], bool], /) -> bool:
        """Waits while a page wants the run to pause."""
        with self._changed:
            while self._state.state == "paused" and not interrupted():
                self._changed.wait(0.2)
        self.interrupted = interrupted()
        if self.interrupted:
            self._change(state="stopping")
        return bool(self._state.state == "stopping")

    def end(self) -> None:
        """Say that the run is over."""
        self._change(state="ended")

    def _maybe_frame(self, event: events.SplatsMoved) -> None:
        begin = time.perf_counter()
        if not self._watched or begin < self._next_frame:
            return
        self._frames += 1
        frame = (self._frames, pack_frame(event.snapshot(), self._frames, event.iteration))
        took = time.perf_counter() - begin
        self._next_frame = begin + max(self._state.frame_seconds, took / _SHARE)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._offer, frame)

    def _place(self, event: events.PhotosPlaced) -> None:
        """Always, and not only for pages that watch: it comes a few times in a run, and to those that come later."""
        scene = event.snapshot()
        self._photos = {view.name: view.photo.path for view in event.photos if view.photo is not None}
        self._tell(photos_message(event.photos, scene.views))
        if scene.points is not None and self._loop is not None:
            self._frames += 1
            self._loop.call_soon_threadsafe(self._offer, (self._frames, pack_points(scene.points, self._frames)))

    def _tell(self, message: Any) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._broadcast, message)

    # The server's loop.

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """A page's socket, from its first message to its last."""
        # Deflating a frame takes five times as long as making it, and leaves nine tenths of it.
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=MAX_MESSAGE_BYTES, compress=False)
        await socket.prepare(request)
        client = _Client(socket)
        self._clients.add(client)
        self._watched = True
        try:
            for message in [*self._latest.values(), self._state]:
                await socket.send_str(_json(message))
            self._send_frame(client)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._hear(client, message.data)
                else:
                    LOG.warning("refused a %s message from %s", message.type.name, request.remote)
        finally:
            self._clients.discard(client)
            self._watched = bool(self._clients)
        return socket

    async def picture(self, name: str) -> bytes | None:
        """A small JPEG of a photo of the run; None when it has none of that name. Raises ReconError when the photo
        cannot be decoded."""
        path = self._photos.get(name)
        if path is None:
            return None
        async with self._one_picture:  # the run wants the cores more
            if name not in self._pictures:
                self._pictures[name] = await asyncio.to_thread(small_picture, path)
        return self._pictures[name]

    async def close(self) -> None:
        """Say goodbye to all pages."""
        for client in list(self._clients):
            await client.socket.close()

    def _hear(self, client: _Client, text: str) -> None:
        try:
            message = json.loads(text)
            kind = message["type"]
            if kind == "ack" and isinstance(message["frame"], int):
                client.waiting = False
                if client.missed:
                    self._send_frame(client)
            elif kind == "control" and message["action"] in _ACTIONS:
                self._control(message["action"])
            elif kind == "tune":
                tuned = _TUNE.validate_json(text, strict=True)
                self._change(end_at=tuned.end_at, frame_seconds=tuned.frame_seconds)
            else:
                raise ValueError(f"{kind!r} is no message of the page")
        except (ValueError, KeyError, TypeError) as error:
            LOG.warning("refused a message that makes no sense: %s", error)

    def _control(self, action: str) -> None:
        if self._state.state in ("running", "paused"):
            self._change(state={"pause": "paused", "resume": "running", "stop": "stopping"}[action])

    def _change(self, **values: Any) -> None:
        with self._changed:
            self._state = replace(self._state, **values)
            self._changed.notify_all()
        self._tell(self._state)

    def _broadcast(self, message: Any) -> None:
        if not isinstance(message, messages.RunState):
            self._latest[message.type] = message
        if isinstance(message, messages.StageStarted):
            self._latest.pop("progress", None)
        if isinstance(message, messages.StageFinished):
            self._frame = None  # published: the files are the truth again
            self._latest.pop("photos", None)
        text = _json(message)
        for client in list(self._clients):
            self._send(client, client.socket.send_str(text))

    def _offer(self, frame: tuple[int, bytes]) -> None:
        self._frame = frame
        for client in self._clients:
            if client.waiting:
                client.missed = True
            else:
                self._send_frame(client)

    def _send_frame(self, client: _Client) -> None:
        if self._frame is None:
            return
        client.waiting, client.missed = True, False
        self._send(client, client.socket.send_bytes(self._frame[1]))

    def _send(self, client: _Client, sending: Any) -> None:
        """Do it when the socket lets us; a page that went away is no fault."""
        assert self._loop is not None

        async def send() -> None:
            try:
                await sending
            except (ConnectionError, RuntimeError):
                self._clients.discard(client)
                self._watched = bool(self._clients)

        task = self._loop.create_task(send())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _json(message: Any) -> str:
    return json.dumps(asdict(message))
