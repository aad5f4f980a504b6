"""The files that name versions agree with each other."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name


def pins(tree) -> dict[str, Requirement]:
    """The lock file's lines by name."""
    lines = (tree.root / "requirements.lock").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def test_lock_names_exact_versions_and_no_host(tree):
    """Every line is name==version, perhaps with a marker."""
    for requirement in pins(tree).values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="]
        assert requirement.url is None
    text = (tree.root / "requirements.lock").read_text()
    assert "://" not in text
    assert not any(line.startswith("-") for line in text.splitlines())


def test_lock_fits_the_bounds_of_the_package(tree):
    """Everything pyproject.toml asks for is pinned, within its bounds."""
    project = tomllib.loads((tree.root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["book"] + extras["test"]
    locked = pins(tree)
    for line in wanted:
        need = Requirement(line)
        pin = locked[canonicalize_name(need.name)]
        version = next(iter(pin.specifier)).version
        assert need.specifier.contains(version, prereleases=True), f"{line}: locked at {version}"


def test_package_has_lower_bounds_only(tree):
    """Caps and pins in a package's own metadata break it on Colab."""
    project = tomllib.loads((tree.root / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        assert {s.operator for s in Requirement(line).specifier} == {">="}, line


def test_conda_environment_has_the_versions_of_the_lock(tree):
    """environment.yml is written by the same `make lock`."""
    environment = yaml.safe_load((tree.root / "environment.yml").read_text())
    from_pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    lines = (tree.root / "requirements.lock").read_text().splitlines()
    assert from_pip == [line for line in lines if not line.startswith("#")]


def test_binder_takes_the_package_at_the_versions_of_the_lock(tree):
    """Constraints, not a second list of pins: nothing can drift, nothing needless is installed."""
    folder = tree.root / "binder"
    lines = (folder / "requirements.txt").read_text().splitlines()
    options = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    assert options.keys() == {"-c", "-e", "--extra-index-url"}
    assert (folder / options["-c"]).resolve() == tree.root / "requirements.lock"
    assert (tree.root / options["-e"] / "pyproject.toml").is_file()
    assert options["--extra-index-url"] == index_without_cuda(tree)
    python = (folder / "runtime.txt").read_text().strip().removeprefix("python-")
    conda = yaml.safe_load((tree.root / "environment.yml").read_text())
    assert f"python={python}" in conda["dependencies"]


def test_the_lock_has_all_that_the_package_needs_on_binder(tree):
    """A dependency without a line in the lock would come in whatever version is newest."""
    locked = pins(tree)
    wanted = ["diffusion-creativity"]
    seen = set()
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in seen:
            continue
        seen.add(name)
        assert name in locked or name == "diffusion-creativity", f"{name} is not locked"
        needs = map(Requirement, metadata.requires(name) or [])
        wanted += [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
    assert "ipywidgets" in seen  # the figures


def test_launch_buttons_lead_to_what_is_configured(tree):
    """The site offers Binder because the repository is configured for it."""
    buttons = yaml.safe_load((tree.root / "_config.yml").read_text())["launch_buttons"]
    assert buttons["binderhub_url"] == "https://mybinder.org"
    assert f"{buttons['binderhub_url']}/v2/gh/" in (tree.root / "README.md").read_text()


def test_dev_container_is_what_make_env_makes(tree):
    """The lock through `make env`, a Python that the package supports, the ports of our servers."""
    settings = json.loads((tree.root / ".devcontainer/devcontainer.json").read_text())
    assert settings["updateContentCommand"] == "make env"
    assert "postCreateCommand" not in settings
    project = tomllib.loads((tree.root / "pyproject.toml").read_text())["project"]
    python = re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:([\d.]+)", settings["image"])
    assert python[1] in SpecifierSet(project["requires-python"])
    workflows = (tree.root / ".github/workflows/tests.yml").read_text()
    assert f'"{python[1]}"' in workflows, "the container's Python is not one that CI tests"
    assert settings["containerEnv"] == {"PIP_EXTRA_INDEX_URL": index_without_cuda(tree)}
    serve = (tree.root / "tools/serve.py").read_text()
    assert int(re.search(r"--port.*default=(\d+)", serve)[1]) in settings["forwardPorts"]


def index_without_cuda(tree) -> str:
    """PyTorch's index of CPU builds, as CI names it."""
    workflow = yaml.safe_load((tree.root / ".github/workflows/tests.yml").read_text())
    return workflow["env"]["PIP_EXTRA_INDEX_URL"]
