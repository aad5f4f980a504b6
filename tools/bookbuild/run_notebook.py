"""Run one notebook through papermill, in a process of its own.

``python run_notebook.py SOURCE TARGET --profile P --seed N --timeout S --error FILE``

Exit status 1 means that a cell failed: FILE then says which one, and TARGET holds the notebook up
to there. The kernel is this interpreter's, whatever kernels the reader has installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

KERNEL = "python3"


def isolate(folder: Path, python: str) -> None:
    """Give the kernel its own settings, so that nothing of the reader's own leaks in."""
    kernel = folder / "data" / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    os.environ.update(
        JUPYTER_PATH=str(folder / "data"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        IPYTHONDIR=str(folder / "ipython"),
        PYTHONHASHSEED="0",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        TOKENIZERS_PARALLELISM="false",
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
    )


def read_notebook(source: Path):
    """Read a source notebook (.py) or a Jupyter edition (.ipynb)."""
    import jupytext

    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {
        "name": KERNEL,
        "display_name": "Python 3",
        "language": "python",
    }
    return notebook


def describe(error: Exception, notebook) -> dict:
    """Say which cell failed and how, in a form that another process can read."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failed = [
        (cell, output)
        for cell in cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    cell, output = failed[0] if failed else (None, {})
    source = getattr(error, "source", None) or (cell.source if cell else "")
    started = [c for c in cells if c.metadata.get("papermill", {}).get("status") != "pending"]
    injected = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    return {
        "cell": (cells.index(cell) + 1 if cell else len(started)) - len(injected),
        "line": next((line for line in source.splitlines() if line.strip()), ""),
        "error": output.get("ename", type(error).__name__),
        "message": output.get("evalue", str(error).strip()),
        "traceback": "\n".join(output.get("traceback", [])),
    }


def run(options: argparse.Namespace) -> int:
    """Execute; on failure write the description and return 1."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    notebook = options.target.with_suffix(".source.ipynb")
    nbformat.write(read_notebook(options.source), notebook)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(options.target),
            parameters={"profile": options.profile, "seed": options.seed},
            kernel_name=KERNEL,
            cwd=str(options.cwd or options.source.parent),
            progress_bar=False,
            log_output=False,
            execution_timeout=options.timeout,
            start_timeout=120,
        )
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError) as error:
        partial = nbformat.read(options.target, as_version=4)
        options.error.write_text(json.dumps(describe(error, partial)), encoding="utf-8")
        return 1
    finally:
        notebook.unlink(missing_ok=True)
    return 0


def peak_memory() -> int:
    """Largest resident memory of any process that this one started and that has ended, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def first_cell_seconds(path: Path) -> float:
    """How long the set-up took, the first cell that is no parameter; 0 where there is none."""
    import nbformat

    for cell in nbformat.read(path, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not {"parameters", "injected-parameters"} & set(tags):
            return round(cell.metadata.papermill.duration, 1)
    return 0.0


def stop(signum, frame):
    """Turn a request to stop into the exception that lets the kernel be shut down."""
    raise KeyboardInterrupt


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=int, default=600, help="seconds per cell")
    parser.add_argument("--error", type=Path, required=True, help="where to describe a failure")
    parser.add_argument(
        "--usage", type=Path, help="where to note memory, and time of the first cell"
    )
    parser.add_argument("--python", default=sys.executable, help="interpreter of the kernel")
    parser.add_argument("--cwd", type=Path, help="where the kernel starts (default: beside SOURCE)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        isolate(Path(folder), options.python)
        try:
            status = run(options)
        except KeyboardInterrupt:
            return 130
    if options.usage and not status:
        used = {"first_cell_seconds": first_cell_seconds(options.target)}
        used["peak_bytes"] = peak_memory()
        options.usage.write_text(json.dumps(used), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
