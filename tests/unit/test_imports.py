"""Who may know whom: the import direction of the package, read from its source."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "diffusion_creativity"
MODULES = sorted(
    p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
)
# Private modules and `style` are leaves: every other module may use them.
LEAVES = {
    "_blocks",
    "_files",
    "_groups",
    "_hermite",
    "_kernels",
    "_matmul",
    "_points",
    "_shifts",
    "_table",
    "_validate",
    "style",
}
MAY_KNOW = {
    "metrics": set(),
    "noise": set(),
    "data": set(),
    "networks": set(),
    "widgets": set(),
    "laws": {"metrics"},
    "denoisers": {"laws", "noise", "sampling"},  # an `Empirical` law is drawn by the sampler
    "sampling": {"noise"},  # the schedule
    "training": {"networks", "noise", "sampling"},  # its sample sheets
}


def imported(name: str) -> set[str]:
    """Modules at the top of the package that a module imports, also inside functions."""
    place = PACKAGE / name
    found = set()
    for path in place.rglob("*.py") if place.is_dir() else [PACKAGE / f"{name}.py"]:
        package = ["diffusion_creativity", *path.relative_to(PACKAGE).parts[:-1]]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*base, *([node.module] if node.module else [])])
                found |= {f"{base}.{alias.name}" for alias in node.names}
    parts = [dotted.split(".") for dotted in found]
    return {p[1] for p in parts if p[0] == "diffusion_creativity" and p[1] in MODULES} - {name}


@pytest.mark.parametrize("name", MAY_KNOW)
def test_a_module_knows_only_what_it_may(name):
    assert imported(name) <= MAY_KNOW[name] | LEAVES


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_leaves_know_only_leaves(name):
    assert imported(name) <= LEAVES


def test_experiments_sit_on_top():
    assert {name for name in MODULES if "experiments" in imported(name)} == {"__main__"}


def test_there_is_no_circle():
    graph = {name: imported(name) for name in MODULES if name != "__init__"}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, diffusion_creativity; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
