"""Show the built site on this machine: ``python tools/serve.py [--port N]``."""

from __future__ import annotations

import argparse
import functools
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
# GitHub Pages serves a project below its name; the page for "not found" counts on it.
PREFIX = "/what-denoisers-dream/"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder both at the root and below the project's name."""

    def translate_path(self, path):
        """Take the project's name off an address."""
        return super().translate_path("/" + path.removeprefix(PREFIX).lstrip("/"))

    def end_headers(self):
        """Have the browser look again after a rebuild."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *arguments):
        """Stay quiet."""


def server(site: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder on localhost; port 0 takes any free one."""
    handler = functools.partial(Handler, directory=str(site))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


@contextmanager
def serving(site: Path):
    """Serve a folder meanwhile; gives its address, below the project's name as on GitHub Pages."""
    httpd = server(site)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}{PREFIX}"
    finally:
        httpd.shutdown()
        httpd.server_close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        httpd = server(SITE, options.port)
    except OSError:
        httpd = server(SITE)  # the port is taken: any free one
    print(f"http://localhost:{httpd.server_port}/  (Ctrl-C ends)", flush=True)
    try:
        httpd.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
