"""The Jupyter edition runs with Colab's versions of everything but PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bookbuild.tree import Tree

pytestmark = [pytest.mark.notebooks, pytest.mark.colab]


@pytest.fixture(scope="session")
def colab_python(tree):
    """Interpreter of an environment with Colab's versions, made on demand and kept."""
    command = [sys.executable, str(tree.root / "tools" / "environment.py")]
    command += [".venv-colab", "tests/notebooks/colab.txt"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tree.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree.root / ".venv-colab" / "bin" / "python"


@pytest.mark.parametrize("name", [*Tree().chapters(), *Tree().projects()])
def test_edition_runs_with_colab_s_versions(tree, colab_python, name, tmp_path):
    """From the set-up cell to the last, at size smoke: chapters, and starts of projects."""
    error = tmp_path / "error.json"
    script = tree.root / "tools" / "bookbuild" / "run_notebook.py"
    source = tree.root / "notebooks" / f"{name}.ipynb"
    command = [sys.executable, str(script), str(source), str(tmp_path / "run.ipynb")]
    command += ["--profile", "smoke", "--error", str(error), "--python", str(colab_python)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    if error.exists():
        failure = json.loads(error.read_text())
        pytest.fail(f"code cell {failure['cell']}: {failure['error']}: {failure['message']}")
    assert done.returncode == 0, done.stderr
