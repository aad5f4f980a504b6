"""Fixtures of several unit tests: what the playground's JavaScript computes."""

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def node():
    """The system's node, or the one that playwright brings along."""
    spec = importlib.util.find_spec("playwright")
    bundled = Path(spec.origin).parent / "driver" / "node" if spec else None
    return shutil.which("node") or (str(bundled) if bundled and bundled.exists() else None)


@pytest.fixture
def js(tmp_path):
    """``js(expression, **values)``: what JavaScript with the playground's functions computes."""
    from diffusion_creativity.widgets.playground import source

    program = node()
    if program is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("node is needed to run the JavaScript of the playground")
        pytest.skip("node is not installed: the JavaScript of the playground was not run")

    def run(expression, **values):
        given = json.dumps({k: plain(v) for k, v in values.items()})
        script = f"""{source()}
const {{ {", ".join(values)} }} = {given};
const arrays = (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v === Infinity ? "inf" : v;
const on = (denoiser, sigma, y, d) => {{
  const out = new Float64Array(y.length);
  denoiser(sigma)(y, out, 0, y.length / d);
  return out;
}};
console.log(JSON.stringify((() => {{ {expression} }})(), arrays));
"""
        (tmp_path / "run.mjs").write_text(script, encoding="utf-8")
        done = subprocess.run(
            [program, "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def plain(value):
    return value.tolist() if hasattr(value, "tolist") else value
