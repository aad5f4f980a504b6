"""The files that name versions agree with each other."""

from __future__ import annotations

import tomllib

import yaml
from packaging.requirements import Requirement
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
