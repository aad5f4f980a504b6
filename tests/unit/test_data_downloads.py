"""Published files from a server on this machine: whole, cut, wrong, stalled, or not there."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from diffusion_creativity.data import _downloads

CONTENT = bytes(range(256)) * 4096  # 1 MiB: more than one chunk


@pytest.fixture
def server():
    """Serve CONTENT at /whole; /cut breaks the connection, /stall stops, both half-way."""
    asked, release = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = {"/whole": CONTENT, "/wrong": CONTENT[::-1]}.get(self.path, CONTENT[: 2**19])
            if self.path == "/missing":
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)
            if self.path == "/stall":
                release.wait(30)

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{httpd.server_port}", asked=asked)
    release.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no data folder, no proxy."""
    monkeypatch.delenv("DIFFUSION_CREATIVITY_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cache = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda name: cache / name)
    return cache


def published(url, content=CONTENT):
    sha256 = hashlib.sha256(content).hexdigest()
    return _downloads.Published("set.gz", "Set/raw", url, sha256, len(content))


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_download_is_kept_and_asked_for_once(server, cache):
    file = published(f"{server.url}/whole")
    path = _downloads.fetch(file)
    assert path.read_bytes() == CONTENT
    assert files(cache) == [path] == [cache / "diffusion_creativity/Set/raw/set.gz"]
    assert _downloads.fetch(file) == path
    assert server.asked == ["/whole"]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("cut", "IncompleteRead|broken"),
        ("wrong", "does not match the known hash"),
        ("missing", "404"),
    ],
)
def test_a_failed_download_says_what_was_tried_and_leaves_nothing(server, cache, page, why):
    file = published(f"{server.url}/{page}")
    with pytest.raises(OSError, match=why) as failure:
        _downloads.fetch(file)
    assert files(cache) == []
    text = str(failure.value)
    assert "$DIFFUSION_CREATIVITY_DATA is not set" in text
    assert f"{cache}/diffusion_creativity/Set/raw/set.gz: not there" in text
    assert f"{server.url}/{page}" in text
    assert f"by hand in {cache}/diffusion_creativity/Set/raw" in text
    assert file.sha256 in text


def test_offline(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(tmp_path / "own"))
    with pytest.raises(OSError, match=r"could not get set\.gz") as failure:
        _downloads.fetch(published("http://127.0.0.1:9/set.gz"))
    assert f"{tmp_path}/own/Set/raw/set.gz: not there" in str(failure.value)
    assert "Connection refused" in str(failure.value)
    assert files(cache) == []


def test_a_file_that_is_not_offered(cache):
    with pytest.raises(OSError, match="not offered for download"):
        _downloads.fetch(published(None))


def test_the_readers_folder_comes_first_and_is_never_changed(server, cache, tmp_path, monkeypatch):
    own = tmp_path / "own/Set/raw/set.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(CONTENT)
    monkeypatch.setenv("DIFFUSION_CREATIVITY_DATA", str(tmp_path / "own"))
    file = published(f"{server.url}/whole")
    assert _downloads.fetch(file) == own
    for damaged in (CONTENT[:1000], CONTENT[::-1]):  # too short; the right length
        own.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"set\.gz is damaged.*replace it"):
            _downloads.fetch(file)
        assert own.read_bytes() == damaged
    assert server.asked == []


@pytest.mark.parametrize("partial", [CONTENT[:5000], b"", CONTENT[::-1]])
def test_a_partial_file_in_the_cache_is_not_taken_and_does_not_stay(server, cache, partial):
    path = cache / "diffusion_creativity/Set/raw/set.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(partial)
    with pytest.raises(OSError, match="was damaged, removed"):
        _downloads.fetch(published(f"{server.url}/cut"))
    assert files(cache) == []
    path.write_bytes(partial)
    assert _downloads.fetch(published(f"{server.url}/whole")).read_bytes() == CONTENT
    assert files(cache) == [path]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupted_download_leaves_nothing(server, cache):
    def interrupt():
        while not any(path.stat().st_size for path in files(cache)):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # A process that a shell put in the background ignores this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            _downloads.fetch(published(f"{server.url}/stall"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert files(cache) == []


def test_what_a_killed_download_leaves_is_not_taken_and_goes_later(server, cache, monkeypatch):
    """The module alone, in a process of its own, is killed half-way."""
    code = f"""
import importlib.util, sys, pathlib, pooch
spec = importlib.util.spec_from_file_location("downloads", {_downloads.__file__!r})
module = sys.modules["downloads"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
pooch.os_cache = lambda name: pathlib.Path({str(cache)!r}) / name
module.fetch(module.Published("set.gz", "Set/raw", "{server.url}/stall", "0" * 64, {len(CONTENT)}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while not any(path.stat().st_size for path in files(cache)):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    (left,) = files(cache)
    file = published(f"{server.url}/whole")
    path = _downloads.fetch(file)
    assert path.read_bytes() == CONTENT
    assert set(files(cache)) == {left, path}  # it might belong to a download that still runs
    old = time.time() - _downloads.DEAD_AFTER - 1
    os.utime(left, (old, old))
    path.unlink()
    assert _downloads.fetch(file) == path
    assert files(cache) == [path]


def denied(*args, **kwargs):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("how", ["a file is in the way", "no permission"])
def test_a_cache_that_cannot_be_written(server, cache, monkeypatch, how):
    """It falls back to a folder of this process, says so, and downloads once."""
    if how == "no permission":
        monkeypatch.setattr(_downloads.tempfile, "TemporaryFile", denied)
    else:
        cache.write_bytes(b"")
    _downloads._for_this_process.cache_clear()
    file = published(f"{server.url}/whole")
    with pytest.warns(UserWarning, match="cannot be written"):
        path = _downloads.fetch(file)
    assert path.read_bytes() == CONTENT
    assert cache not in path.parents
    with pytest.warns(UserWarning, match="cannot be written"):
        assert _downloads.fetch(file) == path
    assert server.asked == ["/whole"]
    _downloads._for_this_process().cleanup()
    _downloads._for_this_process.cache_clear()


def test_a_read_only_cache_that_has_the_file_serves_it(server, cache, monkeypatch):
    file = published(f"{server.url}/whole")
    path = _downloads.fetch(file)
    for write in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(_downloads.tempfile, write, denied)
    assert _downloads.fetch(file) == path


def test_a_damaged_file_that_cannot_be_removed(server, cache, monkeypatch):
    path = cache / "diffusion_creativity/Set/raw/set.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    monkeypatch.setattr(type(path), "unlink", denied)
    with pytest.raises(OSError, match="damaged, and cannot be removed"):
        _downloads.fetch(published(f"{server.url}/missing"))


def test_a_bar_for_long_downloads_only(server, cache, monkeypatch, capsys):
    file = published(f"{server.url}/whole")
    monkeypatch.setattr(_downloads, "BAR_FROM", len(CONTENT))
    path = _downloads.fetch(file)
    assert "100%" in capsys.readouterr().err
    _downloads.fetch(file)
    assert capsys.readouterr().err == ""
    path.unlink()
    monkeypatch.setattr(_downloads, "BAR_FROM", len(CONTENT) + 1)
    _downloads.fetch(file)
    assert "%" not in capsys.readouterr().err
