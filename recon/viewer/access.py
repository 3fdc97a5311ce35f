"""Who may see what: tokens, hosts, origins, and which files of a scene folder are served."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SERVED_FILES = ("scene.gltf", "metrics.json", "viewer.json")
"""Files of a scene folder that the page may read, besides everything in stages/."""

HEADERS = {
    # Spark's decoder is WebAssembly in a data: URL, and its workers and ours are blobs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "connect-src 'self' data: blob:; img-src 'self' data: blob:; style-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # The token is part of the first address.
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Access:
    """What a request must bring."""

    token: str | None
    """Secret that every request must carry, in a cookie, in the query or as a bearer; None for none."""
    loopback_only: bool
    """The server listens on this machine alone, so requests must be addressed to it: a foreign name that resolves
    to 127.0.0.1 (DNS rebinding) is refused."""

    def host_allowed(self, host: str) -> bool:
        """host: the Host header."""
        name = urlsplit(f"//{host}").hostname
        return name is not None and (not self.loopback_only or is_loopback(name))

    def token_allowed(self, *offers: str | None) -> bool:
        """Whether one of `offers` is the token."""
        if self.token is None:
            return True
        token = self.token.encode()
        return any(offer is not None and hmac.compare_digest(offer.encode(), token) for offer in offers)

    @staticmethod
    def origin_allowed(origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may open a socket or change something on `host`. Programs send no origin."""
        return origin is None or urlsplit(origin).netloc == host


def served_path(folder: Path, path: str) -> Path | None:
    """The file that `path`, as it stands decoded in a request, names below `folder`; None when it is not served.

    Nothing outside of the folder, nothing hidden, and nothing that is reached through a symbolic link.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    if path not in SERVED_FILES and (parts[0] != "stages" or len(parts) < 2):
        return None
    root = folder.resolve()
    file = root.joinpath(*parts)
    try:
        real = file.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return file if real == file and file.is_file() else None


def is_immutable(path: str) -> bool:
    """Whether a served file never changes while it has this name."""
    return path.startswith("stages/")
