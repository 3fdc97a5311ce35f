"""The server gives out the scene, and nothing else, to whom it may."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from family_room import Served

from recon.errors import ReconError
from recon.viewer import page
from recon.viewer.access import served_path
from recon.viewer.server import ViewerServer


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    """Files as a scene has them, secrets beside and among them, and links to those."""
    out = tmp_path / "out"
    stage = out / "stages" / "10-poses-x"
    stage.mkdir(parents=True)
    (out / "scene.gltf").write_text('{"asset": {"version": "2.0"}}' + " " * 2000)
    (stage / "points.safetensors").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "secret.txt").write_text("secret")
    (out / "run.json").write_text("secret")
    (out / "stages" / ".tmp-1").mkdir()
    (out / "stages" / ".tmp-1" / "half.txt").write_text("secret")
    (stage / "link.txt").symlink_to(tmp_path / "secret.txt")
    (out / "stages" / "linked").symlink_to(tmp_path)
    return out


@pytest.fixture
def server(scene_folder: Path, built_page: None) -> Iterator[ViewerServer]:
    running = ViewerServer(scene_folder, port=0)
    running.start()
    yield running
    running.stop()


def ask(
    server: ViewerServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, body and headers of one request, its path sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "/scene/../secret.txt",
        "/scene/..%2fsecret.txt",
        "/scene/%2e%2e/secret.txt",
        "/scene/%252e%252e/secret.txt",
        "/scene/stages/../../secret.txt",
        "/scene/stages/%2e%2e/%2e%2e/secret.txt",
        "/scene/stages/..%5c..%5csecret.txt",
        "/scene//etc/passwd",
        "/scene/%2fetc%2fpasswd",
        "/scene/stages/10-poses-x/link.txt",
        "/scene/stages/linked/secret.txt",
        "/scene/stages/.tmp-1/half.txt",
        "/scene/run.json",
        "/scene/stages",
        "/scene/stages/10-poses-x",
        "/scene/scene.gltf%00.txt",
        "/scene/",
        "/../secret.txt",
        "/..%2fserver.py",
    ],
)
def test_no_way_out_of_the_scene(path: str, server: ViewerServer) -> None:
    status, body, _ = ask(server, path)
    assert status in (400, 403, 404)
    assert b"secret" not in body.replace(b"secret.txt", b"") and b"root:" not in body
    assert ask(server, "/scene/scene.gltf")[0] == 200, "it serves on"


def test_a_link_as_the_scene_folder_itself_is_fine(scene_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(scene_folder)
    assert served_path(link, "scene.gltf") is not None
    assert served_path(link, "stages/10-poses-x/link.txt") is None


def test_ranges_compression_and_caching(server: ViewerServer) -> None:
    buffer = "/scene/stages/10-poses-x/points.safetensors"
    status, body, headers = ask(server, buffer, Range="bytes=10-19")
    assert (status, body) == (206, bytes(range(10, 20)))
    assert headers["Content-Range"] == "bytes 10-19/1024"
    assert ask(server, buffer, Range="bytes=5000-")[0] == 416
    assert "immutable" in ask(server, buffer)[2]["Cache-Control"]
    status, body, headers = ask(server, "/scene/scene.gltf", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip" and len(body) < 500
    assert headers["Cache-Control"] == "no-cache"
    _, _, headers = ask(server, "/")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]


def test_a_file_that_changes_is_fetched_again_and_one_that_does_not_is_not(server: ViewerServer) -> None:
    _, _, headers = ask(server, "/scene/scene.gltf")
    assert ask(server, "/scene/scene.gltf", If_None_Match=headers["ETag"])[0] == 304
    # On one connection, compressed, as browsers ask: nothing may follow a 304.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        asked = {"Accept-Encoding": "gzip", "If-None-Match": headers["ETag"]}
        connection.request("GET", "/scene/scene.gltf", headers=asked)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (304, b"")
    connection.close()
    (server.folder / "scene.gltf").write_text("{}")
    assert ask(server, "/scene/scene.gltf", If_None_Match=headers["ETag"])[:2] == (200, b"{}")


def test_the_page_is_small(server: ViewerServer) -> None:
    names = list(server.page)
    assert sum(name.endswith(".js") for name in names) == 1
    sizes = [len(ask(server, f"/{name}", Accept_Encoding="gzip")[1]) for name in names]
    assert sum(sizes) <= 1.5e6, dict(zip(names, sizes, strict=True))


def test_the_page_comes_in_the_smallest_form_that_is_understood(server: ViewerServer) -> None:
    script = next(name for name in server.page if name.endswith(".js"))
    found = {}
    for offer in ("", "gzip", "gzip, deflate, br, zstd", "br;q=0, gzip;q=0.5"):
        status, body, headers = ask(server, f"/{script}", Accept_Encoding=offer)
        assert status == 200 and headers["Vary"] == "Accept-Encoding" and "javascript" in headers["Content-Type"]
        found[offer] = headers.get("Content-Encoding"), len(body)
    assert [encoding for encoding, _ in found.values()] == [None, "gzip", "br", "gzip"]
    sizes = [size for _, size in found.values()]
    assert sizes[0] == len(server.page[script]) and sizes[2] < sizes[1] < sizes[0] / 2
    assert ask(server, f"/{script}.br")[0] == 404


def test_foreign_names_are_refused(server: ViewerServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "recon.viewer"):
        assert ask(server, "/scene/scene.gltf", Host=f"evil.example:{server.port}")[0] == 403
    assert "evil.example" in caplog.text
    assert ask(server, "/scene/scene.gltf", Host=f"localhost:{server.port}")[0] == 200


def test_foreign_pages_change_nothing(server: ViewerServer) -> None:
    here = f"http://127.0.0.1:{server.port}"
    assert ask(server, "/scene/scene.gltf", "POST", b"{}", Origin="http://evil.example")[0] == 403
    assert ask(server, "/scene/scene.gltf", "POST", b"{}", Origin=here)[0] == 405


def test_tokens(scene_folder: Path, built_page: None) -> None:
    server = ViewerServer(scene_folder, host="0.0.0.0", port=0)
    assert server.token is not None and len(server.token) >= 32
    server.start()
    try:
        for path in ("/", "/scene/scene.gltf", "/?token=wrong", f"/?token={server.token[:-1]}"):
            assert ask(server, path)[0] == 401
        status, _, headers = ask(server, f"/?token={server.token}")
        cookie = headers["Set-Cookie"]
        assert (status, headers["Location"]) == (302, "/")
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert ask(server, "/scene/scene.gltf", Cookie=cookie.split(";")[0])[0] == 200
        assert ask(server, "/scene/scene.gltf", Authorization=f"Bearer {server.token}")[0] == 200
        assert ask(server, "/scene/scene.gltf", Cookie="recon-token=")[0] == 401
    finally:
        server.stop()


def test_oversized_and_malformed_requests(server: ViewerServer) -> None:
    assert ask(server, "/scene/" + "a" * 20_000)[0] in (400, 414)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert b" 400 " in raw.recv(100)
    assert ask(server, "/scene/scene.gltf")[0] == 200


def test_a_busy_port_is_one_message(server: ViewerServer) -> None:
    with pytest.raises(ReconError, match=r"cannot listen on .*--port"):
        ViewerServer(server.folder, port=server.port).start()


def test_an_unbuilt_page_is_one_message(scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FOLDER", tmp_path / "nowhere")
    with pytest.raises(ReconError, match="make viewer"):
        ViewerServer(scene_folder)


def test_the_page_asks_nobody_else(served: Served, shown: object) -> None:
    requests = shown.requests  # type: ignore[attr-defined]
    assert requests
    assert all(url.startswith((served.server.address, "data:", "blob:")) for url in requests)
