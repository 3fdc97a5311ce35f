"""A small web server for one scene folder and the page that shows it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

from aiohttp import web

from recon.errors import ReconError
from recon.viewer.access import HEADERS, SERVED_FILES, Access, is_immutable, is_loopback, served_path
from recon.viewer.live import LiveRun
from recon.viewer.messages import Session
from recon.viewer.page import ENCODINGS, compressed_files, page_files
from recon.viewer.saved import parse_saved, write_saved

LOG = logging.getLogger("recon.viewer")

DEFAULT_PORT = 8017
MAX_BODY_BYTES = 1 << 20
"""Of a request; what the page sends is much smaller."""
_COOKIE = "recon-token"
_COMPRESSED = {".html", ".js", ".css", ".gltf", ".json"}
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".gltf": "model/gltf+json",
    ".json": "application/json",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ViewerServer:
    """Serves `folder` from a thread of its own between `start` and `stop`."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        token: str | None = None,
        live: LiveRun | None = None,
    ) -> None:
        """port: 0 for any free one.   token: one is made up when `host` is more than this machine and none is given.
        live: a run on its way in `folder`, which need not exist yet.

        Raises ReconError when the page has not been built.
        """
        self.folder, self.host, self.port, self.live = folder, host, port, live
        self.token = token or (None if is_loopback(host) else secrets.token_urlsafe(24))
        self.page, self.compressed = page_files(), compressed_files()
        self.access = Access(self.token, is_loopback(host))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """What to open in a browser."""
        shown = "127.0.0.1" if self.host == "0.0.0.0" else "[::1]" if self.host == "::" else self.host
        shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def start(self) -> None:
        """Listen. Raises ReconError when the address cannot be had."""
        ready: threading.Event = threading.Event()
        failure: list[OSError] = []
        loop = asyncio.new_event_loop()

        def serve() -> None:
            asyncio.set_event_loop(loop)
            try:
                loop.run_until_complete(self._listen())
            except OSError as error:
                failure.append(error)
                ready.set()
                return
            ready.set()
            loop.run_forever()
            assert self._runner is not None
            if self.live is not None:
                loop.run_until_complete(self.live.close())
            loop.run_until_complete(self._runner.cleanup())
            loop.close()

        self._loop, self._thread = loop, threading.Thread(target=serve, name="recon-viewer", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            self._thread.join()
            raise ReconError(
                f"cannot listen on {self.host}:{self.port}", found=failure[0].strerror or failure[0],
                fix="give another --port or --host",
            )  # fmt: skip

    def stop(self) -> None:
        """Close all connections and wait until the thread has ended."""
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def processor_seconds(self) -> float:
        """Processor time that the server's thread has taken so far, without the threads that read files for it."""
        assert self._thread is not None and self._thread.ident is not None
        return time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident))

    def application(self) -> web.Application:
        """Routes and checks."""
        app = web.Application(middlewares=[self._check], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/", self._index)
        app.router.add_get("/api/session", self._session)
        app.router.add_post("/api/saved", self._save)
        if self.live is not None:
            app.router.add_get("/api/live", self.live.connect)
            app.router.add_get("/api/photos/{name:.*}", self._photo)
        app.router.add_get("/scene/{path:.*}", self._scene_file)
        app.router.add_get("/{name}", self._page_file)
        return app

    async def _listen(self) -> None:
        if self.live is not None:
            self.live.attach(asyncio.get_running_loop())
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    @web.middleware
    async def _check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses who may not see this, and puts our headers on every answer."""
        try:
            answer = self._refusal(request) or await handler(request)
        except web.HTTPException as error:
            answer = error
        if not answer.prepared:
            answer.headers.update(HEADERS)
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self.access.host_allowed(request.host):
            return refuse(request, 403, f"this server does not answer to the name {request.host!r}")
        if request.method not in ("GET", "HEAD") or "Upgrade" in request.headers:
            origin = request.headers.get("Origin")
            if not self.access.origin_allowed(origin, request.host):
                return refuse(request, 403, f"pages of {origin!r} may not talk to this server")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.access.token_allowed(request.query.get("token"), request.cookies.get(_COOKIE), bearer):
            return refuse(request, 401, "open the address that `recon view` printed, token included")
        return None

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if self.token is not None and "token" in request.query:
            # From here on the token travels in a cookie that scripts and other sites cannot use, out of sight.
            away = web.HTTPFound("/")
            away.set_cookie(_COOKIE, self.token, httponly=True, samesite="Strict")
            raise away
        return self._page_answer(request, "index.html", "no-cache")

    async def _session(self, request: web.Request) -> web.StreamResponse:
        files = [name for name in SERVED_FILES if served_path(self.folder, name) is not None]
        session = Session(self.folder.resolve().name, files, self.live is not None, os.access(self.folder, os.W_OK))
        return web.json_response(asdict(session), headers={"Cache-Control": "no-store"})

    async def _save(self, request: web.Request) -> web.StreamResponse:
        try:
            saved = parse_saved(await request.read())
        except ReconError as error:
            return refuse(request, 400, str(error))
        try:
            await asyncio.to_thread(write_saved, self.folder, saved)
        except OSError as error:
            return refuse(request, 507, f"{self.folder} cannot be written: {error.strerror}")
        return web.json_response({})

    async def _photo(self, request: web.Request) -> web.StreamResponse:
        assert self.live is not None
        name = request.match_info["name"]
        try:
            picture = await self.live.picture(name)
        except ReconError as error:
            return refuse(request, 404, str(error))
        if picture is None:
            return refuse(request, 404, f"{name!r} is no photo of the run")
        return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "no-cache"})

    async def _page_file(self, request: web.Request) -> web.StreamResponse:
        # Their names hold a hash of what is in them.
        return self._page_answer(request, request.match_info["name"], "public, max-age=31536000, immutable")

    def _page_answer(self, request: web.Request, name: str, cache: str) -> web.Response:
        body = self.page.get(name)
        if body is None:
            raise web.HTTPNotFound(text=f"no {name!r} here")
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding"}
        for encoding in ENCODINGS:
            copy = self.compressed.get((name, encoding))
            if copy is not None and _accepts(request, encoding):
                headers["Content-Encoding"] = encoding
                return web.Response(body=copy, content_type=kind, charset="utf-8", headers=headers)
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    async def _scene_file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        file = served_path(self.folder, path)
        if file is None and path in SERVED_FILES:
            raise web.HTTPNotFound(text=f"this scene has no {path}\n")
        if file is None:
            return refuse(request, 404, f"{path!r} is no file of the scene")
        cache = "private, max-age=31536000, immutable" if is_immutable(path) else "no-cache"
        if file.suffix in _COMPRESSED and "Range" not in request.headers:
            return await _text(request, file, cache)
        return web.FileResponse(file, headers={"Cache-Control": cache})


def _accepts(request: web.Request, encoding: str) -> bool:
    """Whether the browser understands a compression; a weight of 0 says that it does not."""
    offers = (part.partition(";") for part in request.headers.get("Accept-Encoding", "").split(","))
    weights = {name.strip().lower(): rest.replace(" ", "") for name, _, rest in offers}
    return encoding in weights and re.fullmatch(r"q=0(\.0*)?", weights[encoding]) is None


async def _text(request: web.Request, file: Path, cache: str) -> web.Response:
    """A file that is worth compressing. aiohttp's FileResponse would put a compressed body even behind a 304."""
    body = await asyncio.to_thread(file.read_bytes)
    tag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"Cache-Control": cache, "ETag": f'"{tag}"'}
    if any(known.value == tag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    kind = _TYPES.get(file.suffix, "application/octet-stream")
    answer = web.Response(body=body, content_type=kind, headers=headers)
    answer.enable_compression()
    return answer


def wait_for_interrupt() -> None:
    """Returns when Ctrl-C is pressed."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)


def refuse(request: web.Request, status: int, reason: str) -> web.Response:
    """An answer that says no, and a line in the log."""
    LOG.warning("refused %s %s from %s: %s", request.method, request.path, request.remote, reason)
    return web.Response(status=status, text=f"{reason}\n", headers={"Cache-Control": "no-store"})
