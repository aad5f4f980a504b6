"""Build the pages without Jupyter Book: ``python tools/plain_sphinx.py [--profile P]``.

Jupyter Book 1.x, which holds Sphinx back, is in maintenance. This keeps the way out open: the
newest Sphinx, theme and extensions that this Python takes, in an environment of their own, build
the staged pages from the ``conf.py`` that Jupyter Book writes of our settings, warnings as errors.
Needs a network, the first time, and a built book (`make book`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bookbuild.check import problems, read_pages
from bookbuild.progress import complain, say
from bookbuild.site import complaints
from bookbuild.tree import PROFILES, Tree
from environment import pip

PACKAGES = [
    "linkify-it-py",
    "myst-nb",
    "sphinx",
    "sphinx-autoapi",
    "sphinx-book-theme",
    "sphinx-copybutton",
    "sphinx-design",
    "sphinx-exercise",
    "sphinx-external-toc",
    "sphinx-multitoc-numbering",
    "sphinx-notfound-page",
    "sphinx-proof",
    "sphinx-togglebutton",
    "sphinxcontrib-bibtex",
    "sphinxext-opengraph",
]
SHOWN = [*PACKAGES, "docutils", "myst-parser", "pydata-sphinx-theme"]
# What jupyter-book does when it builds, beyond its conf.py. Figures of prose pages compute with
# the package: PyTorch and the like come from the book's environment, after all that is here.
TAIL = """
import importlib.util, sys
sys.path.insert(0, {extensions!r})
ours_alone = ("jupyter_book", "sphinx_jupyterbook_latex")
extensions = [name for name in extensions if name not in ours_alone]
missing = [name for name in extensions if importlib.util.find_spec(name) is None]
if missing:
    raise ImportError(f"not in this environment: {{missing}}")
sys.path += {libraries!r}
"""
VERSIONS = (
    "import json, sys; from importlib.metadata import version; "
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


def environment(folder: Path) -> Path:
    """Make or renew the environment; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True, clear=True)
    pip(folder, "install", "--quiet", "--upgrade", "--upgrade-strategy", "eager", *PACKAGES)
    return python


def configured(stage: Path, folder: Path) -> Path:
    """A copy of the staged pages with a conf.py; returns where it lies."""
    source = folder / "source"
    shutil.copytree(stage, source)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    subprocess.run([*command, "config", "sphinx", str(source)], check=True, capture_output=True)
    libraries = [str(source / "src"), sysconfig.get_path("purelib")]
    tail = TAIL.format(extensions=str(source / "book" / "_ext"), libraries=libraries)
    with (source / "conf.py").open("a", encoding="utf-8") as conf:
        conf.write(tail)
    return source


def versions(python: Path) -> list[str]:
    """What is newer here than in the book's environment."""
    done = subprocess.run(
        [python, "-c", VERSIONS, *SHOWN], check=True, capture_output=True, text=True
    )
    found = {name: (metadata.version(name), new) for name, new in json.loads(done.stdout).items()}
    return [f"  {name} {old} -> {new}" for name, (old, new) in found.items() if old != new]


def build(python: Path, source: Path, site: Path, log: Path) -> list[str]:
    """Build with warnings as errors; returns what Sphinx complained of."""
    command = [python, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-n", source, site]
    settings = dict(os.environ, PYTHONHASHSEED="0", PYTHONWARNINGS="ignore", NO_COLOR="1")
    with log.open("wb") as sink:
        done = subprocess.run(command, stdout=sink, stderr=subprocess.STDOUT, env=settings)
    if done.returncode == 0:
        return []
    return complaints(log).replace(f"{source}/", "").splitlines()


def differences(tree: Tree, profile: str, site: Path) -> list[str]:
    """What is wrong with the site, or differs from what Jupyter Book made of the same pages."""
    here, there = set(read_pages(site)), set(read_pages(tree.site(profile)))
    return (
        problems(site, tree.chapters())
        + [f"{page}: only Jupyter Book writes it" for page in sorted(there - here)]
        + [f"{page}: only plain Sphinx writes it" for page in sorted(here - there)]
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", choices=PROFILES, default="book")
    options = parser.parse_args()
    tree, began = Tree(), time.monotonic()
    if not tree.site(options.profile).exists():
        complain(f"no pages of profile {options.profile}: make book PROFILE={options.profile}")
        return 1
    say("environment: the newest Sphinx, theme and extensions that this Python takes")
    python = environment(tree.root / ".venv-sphinx")
    say("\n".join(versions(python)))
    folder = tree.build / "plain-sphinx"
    shutil.rmtree(folder, ignore_errors=True)
    source = configured(tree.stage(options.profile), folder)
    say("pages: building")
    found = build(python, source, folder / "html", folder / "sphinx.log")
    found = found or differences(tree, options.profile, folder / "html")
    if found:
        complain("\n".join([*found, f"Everything Sphinx said: {folder / 'sphinx.log'}"]))
        return 1
    say(f"{len(read_pages(folder / 'html'))} pages, as from Jupyter Book; "
        f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
