"""Ask every address of other hosts that site and papers name: ``python tools/links.py``.

Ends with status 1 if an address is broken (404, 410, no such host). Addresses that moved are listed
with where they lead now; those whose host refuses to answer a script are listed as not judged.
Without a network it says so and ends well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import requests
import yaml
from markdown_it import MarkdownIt

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.check import is_foreign, read_pages
from bookbuild.tree import ROOT, Tree

PAPERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
AGENT = {"User-Agent": "Mozilla/5.0 (link check of a book)"}
GONE = (404, 410)


@dataclass(frozen=True)
class Answer:
    """What became of one address; `status` is None where nobody answered."""

    address: str
    status: int | None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """One of fine, moved, broken, not judged."""
        if self.status is None or self.status in GONE:
            return "broken"
        if self.status >= 400:
            return "not judged"
        return "moved" if self.detail else "fine"


def links_of_paper(path: Path) -> list[str]:
    """Addresses that a Markdown file links to."""
    blocks = MarkdownIt().parse(path.read_text(encoding="utf-8"))
    inline = [token for block in blocks for token in block.children or []]
    return [token.attrs["href"] for token in inline if token.type == "link_open"]


def asked(link: str) -> str:
    """The address to ask for a link: without its place on the page or the form's content."""
    address = urldefrag(link)[0]
    return address.split("?")[0] if urlsplit(address).path.endswith("/issues/new") else address


def collect(site: Path, papers: list[Path], launchers: tuple[str, ...] = ()) -> dict[str, str]:
    """Address → the first page that names it; launchers answer alike whatever they are asked."""
    found: dict[str, str] = {}
    named = {name: page.links for name, page in read_pages(site).items()}
    named |= {path.name: links_of_paper(path) for path in papers}
    for name, links in named.items():
        for link in filter(is_foreign, links):
            if urlsplit(link).scheme in ("http", "https") and not link.startswith(launchers):
                found.setdefault(asked(link), name)
    return found


def ask(session: requests.Session, address: str, timeout: float) -> Answer:
    """Ask once: the head alone, and the page where a host does not like that."""
    try:
        for method in ("HEAD", "GET"):
            with session.request(
                method, address, allow_redirects=True, timeout=timeout, stream=True
            ) as reply:
                status, steps, end = reply.status_code, reply.history, reply.url
            if status < 400:
                break
    except requests.RequestException as error:
        slow = isinstance(error, requests.Timeout | requests.TooManyRedirects)
        return Answer(address, 599 if slow else None, type(error).__name__)
    permanent = any(step.status_code in (301, 308) for step in steps)
    return Answer(address, status, end if permanent and status < 400 else "")


def ask_host(addresses: list[str], timeout: float, pause: float) -> list[Answer]:
    """Ask one host, an address at a time; one that cannot be reached is not asked again."""
    answers: list[Answer] = []
    with requests.Session() as session:
        session.headers.update(AGENT)
        for address in addresses:
            if answers and answers[0].status is None:
                answers.append(Answer(address, None, answers[0].detail))
                continue
            time.sleep(pause if answers else 0)
            answers.append(ask(session, address, timeout))
    return answers


def check(addresses: list[str], timeout: float = 20, pause: float = 1) -> list[Answer]:
    """Ask all addresses, hosts side by side."""
    hosts = defaultdict(list)
    for address in addresses:
        hosts[urlsplit(address).netloc].append(address)
    with ThreadPoolExecutor(max_workers=16) as pool:
        rounds = pool.map(lambda host: ask_host(host, timeout, pause), hosts.values())
        return [answer for answers in rounds for answer in answers]


def report(answers: list[Answer], named: dict[str, str]) -> int:
    """Say what was found; returns the exit status."""
    if all(answer.status is None for answer in answers):
        print(f"no network: none of {len(answers)} addresses was checked")
        return 0
    for verdict in ("moved", "not judged", "broken"):
        for answer in sorted(answers, key=lambda answer: answer.address):
            if answer.verdict == verdict:
                what = f"-> {answer.detail}" if verdict == "moved" else answer.detail
                what = what or str(answer.status)
                print(f"{verdict}: {answer.address} {what} (in {named[answer.address]})")
    broken = sum(answer.verdict == "broken" for answer in answers)
    print(f"{len(answers)} addresses asked, {broken} broken")
    return 1 if broken else 0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Tree().html)
    options = parser.parse_args()
    if not options.site.is_dir():
        sys.exit(f"{options.site}: no such folder; `make book` builds the site")
    buttons = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["launch_buttons"]
    launchers = tuple(address for key, address in buttons.items() if key.endswith("_url"))
    named = collect(options.site, [ROOT / name for name in PAPERS], launchers)
    return report(check(list(named)), named)


if __name__ == "__main__":
    sys.exit(main())
