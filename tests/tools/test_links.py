"""The check of external links, against a server on this machine."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import links
import pytest


class Handler(BaseHTTPRequestHandler):
    """Answers by what it is asked for."""

    def do_HEAD(self):
        status, target = {
            "/fine": (200, None),
            "/gone": (404, None),
            "/moved": (301, "/fine"),
            "/elsewhere": (302, "/fine"),
            "/moved-and-gone": (301, "/gone"),
            "/private": (403, None),
            "/get-only": (405 if self.command == "HEAD" else 200, None),
        }[self.path]
        self.server.asked.append((self.command, self.path))
        self.send_response(status)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.asked = []
    httpd.address = f"http://127.0.0.1:{httpd.server_port}"
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def nowhere(monkeypatch):
    """An address on this machine at which nobody listens."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: nobody else gets the port
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/fine", "fine"),
        ("/gone", "broken"),
        ("/moved", "moved"),
        ("/elsewhere", "fine"),
        ("/moved-and-gone", "broken"),
        ("/private", "not judged"),
        ("/get-only", "fine"),
    ],
)
def test_verdicts(server, path, verdict):
    [answer] = links.check([server.address + path], pause=0)
    assert answer.verdict == verdict
    if verdict == "moved":
        assert answer.detail == f"{server.address}/fine"


def test_a_broken_address_fails_and_names_its_page(server, capsys):
    named = {f"{server.address}/fine": "a.html", f"{server.address}/gone": "b.html"}
    assert links.report(links.check(list(named), pause=0), named) == 1
    said = capsys.readouterr().out
    assert f"broken: {server.address}/gone 404 (in b.html)" in said
    assert "2 addresses asked, 1 broken" in said
    assert links.report(links.check(list(named)[:1]), named) == 0


def test_a_host_that_is_gone_counts_where_others_answer(server, nowhere, capsys):
    named = {f"{server.address}/fine": "a.html", f"{nowhere}/page": "b.html"}
    assert links.report(links.check(list(named), pause=0), named) == 1
    assert f"broken: {nowhere}/page ConnectionError (in b.html)" in capsys.readouterr().out


def test_without_a_network_it_says_so_and_ends_well(nowhere, capsys):
    addresses = [f"{nowhere}/{page}" for page in "abc"]
    assert links.report(links.check(addresses), dict.fromkeys(addresses, "a.html")) == 0
    assert capsys.readouterr().out == "no network: none of 3 addresses was checked\n"


def test_addresses_of_pages_and_papers_are_collected_once(tmp_path):
    (tmp_path / "site" / "book").mkdir(parents=True)
    (tmp_path / "site/index.html").write_text(
        '<a href="book/a.html">ours</a> <a href="https://example.org/x#part">theirs</a>'
        '<a href="https://example.org/x#other">again</a> <a href="mailto:a@example.org">mail</a>'
        '<a href="https://lab.example.org/open/1">launch</a>'
        '<a href="https://example.org/issues/new?title=a">issue</a>'
    )
    (tmp_path / "site/book/a.html").write_text(
        '<a href="https://example.org/issues/new?title=b">issue</a>'
        '<a href="https://example.org/?q=1">query</a>'
    )
    (tmp_path / "README.md").write_text(
        "[one](https://example.org/one) <https://example.org/two> [site](book/a.html)\n\n"
        "```\n[no](https://example.org/no)\n```\n"
    )
    found = links.collect(tmp_path / "site", [tmp_path / "README.md"], ("https://lab.example.org",))
    assert found == {
        "https://example.org/x": "index.html",
        "https://example.org/issues/new": "book/a.html",
        "https://example.org/?q=1": "book/a.html",
        "https://example.org/one": "README.md",
        "https://example.org/two": "README.md",
    }
