"""The build on a small book of its own: what is run again, what is kept, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from bookbuild import execute, keys, site, stage
from bookbuild.tree import ROOT, Tree, toc_pages

TOC = (
    "root: book/preface\nparts:\n- chapters:\n  - file: notebooks/01_a\n  - file: notebooks/02_b\n"
)
PARAMETERS = '# %% tags=["parameters"]\nprofile = "book"\nseed = 0\n\n'
pytestmark = pytest.mark.notebooks


@pytest.fixture
def small(tmp_path):
    """A book of two chapters without any import."""
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "requirements.lock").write_text("nothing==1\n")
    for folder in ("notebooks", "src/package", "book", "results/run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src/package/module.py").write_text("value = 1\n")
    (tmp_path / "results/run/metrics.json").write_text("{}")
    write(tmp_path, "01_a", 'print(profile, "run")')
    write(tmp_path, "02_b", "print(2)")
    return Tree(tmp_path)


def write(root, name, code):
    (root / "notebooks" / f"{name}.py").write_text(
        f"# %% [markdown]\n# # {name}\n\n{PARAMETERS}# %%\n{code}\n"
    )


def stale(tree, profile="smoke"):
    common = keys.common_key(tree)
    fresh = {
        name: execute.is_fresh(
            tree, name, profile, keys.chapter_key(tree, name, profile, 0, common)
        )
        for name in tree.chapters()
    }
    return [name for name, is_fresh in fresh.items() if not is_fresh]


def test_pages_of_a_table_of_contents_in_order():
    toc = {"root": "a", "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]}
    assert toc_pages(toc) == ["a", "b", "c"]


def test_only_what_changed_is_run_again(small):
    records = execute.execute(small, "smoke")
    assert list(records) == ["01_a", "02_b"]
    assert stale(small) == []
    assert stale(small, "book") == ["01_a", "02_b"]
    write(small.root, "02_b", "print(3)")
    assert stale(small) == ["02_b"]
    (small.root / "results/run/metrics.json").write_text("[]")
    assert stale(small) == ["01_a", "02_b"]
    execute.execute(small, "smoke")
    assert stale(small) == []
    (small.root / "src/package/module.py").write_text("value = 2\n")
    assert stale(small) == ["01_a", "02_b"]


def test_the_memory_of_the_kernel_is_recorded(small):
    write(small.root, "02_b", "block = bytearray(200_000_000)")  # it is zeroed, so it is there
    records = execute.execute(small, "smoke")
    more = records["02_b"]["peak_bytes"] - records["01_a"]["peak_bytes"]
    assert 150e6 < more < 250e6


def test_the_first_cell_is_timed_apart_from_the_others(small):
    write(small.root, "01_a", "import time\ntime.sleep(1)\n\n# %%\ntime.sleep(2)")
    record = execute.execute(small, "smoke")["01_a"]
    assert 1 <= record["first_cell_seconds"] <= record["seconds"] - 2


def test_a_damaged_result_is_run_again(small):
    execute.execute(small, "smoke")
    (small.executed("smoke") / "01_a.ipynb").write_text("{}")
    assert stale(small) == ["01_a"]


def test_failing_cell_is_named_and_the_partial_notebook_kept(small):
    write(small.root, "02_b", 'print("before")\n\n# %%\n# why\nraise RuntimeError("too deep")')
    with pytest.raises(execute.ChapterFailed) as caught:
        execute.execute(small, "smoke")
    message = str(caught.value)
    assert "notebooks/02_b.py, code cell 3 ('# why')" in message
    assert "RuntimeError: too deep" in message
    assert "before" in (small.failed("smoke") / "02_b.ipynb").read_text()
    assert not list(small.build.glob("running-*"))


def test_page_has_no_trace_of_the_run(small):
    import nbformat

    execute.execute(small, "smoke")
    text = stage.page_notebook(small.executed("smoke") / "01_a.ipynb").decode()
    notebook = nbformat.reads(text, as_version=4)
    assert "papermill" not in text
    assert "injected-parameters" not in text
    assert notebook.cells[-1].outputs[0].text == "smoke run\n"


def test_a_figure_with_a_table_is_staged_the_same_every_time(tmp_path):
    """A random cell id in the staged notebook would rebuild the pages on every `make book`."""
    figure = nbformat.v4.new_code_cell(
        "plot()",
        outputs=[
            nbformat.v4.new_output("display_data", data={"image/svg+xml": "<svg/>"}),
            nbformat.v4.new_output("display_data", data={"text/html": "<table></table>"}),
        ],
        metadata={"mystnb": {"figure": {"name": "fig-one"}}},
    )
    path = tmp_path / "01_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[figure]), path)
    pages = [stage.page_notebook(path) for _ in range(2)]
    assert len(nbformat.reads(pages[0].decode(), as_version=4).cells) == 2
    assert pages[0] == pages[1]


def test_citations_of_a_chapter_lead_to_its_own_list():
    text = "{cite:t}`a` {cite}`b, c`\n```{bibliography}\n:filter: docname in docnames\n```"
    assert stage.own_citations(text, "03-") == (
        "{cite:t}`03-a` {cite}`03-b,03-c`\n"
        "```{bibliography}\n:keyprefix: 03-\n:filter: docname in docnames\n```"
    )


def test_swap_replaces_and_recovers(tmp_path):
    place, new = tmp_path / "html", tmp_path / "new"
    for folder, text in ((place, "old"), (new, "new")):
        folder.mkdir()
        (folder / "index.html").write_text(text)
    site.swap(new, place)
    assert (place / "index.html").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["html"]
    place.rename(tmp_path / "html.old")  # as after a crash between the two renames
    site.recover(place)
    assert (place / "index.html").read_text() == "new"


def processes_of(folder) -> list[str]:
    """Command lines of processes that work in a folder."""
    if Path("/proc").is_dir():  # small containers have no ps
        lines = [_command_line(path) for path in Path("/proc").glob("[0-9]*")]
    else:
        ps = subprocess.run(["ps", "-axo", "command"], capture_output=True, text=True)
        lines = ps.stdout.splitlines()
    return [line for line in lines if str(folder) in line]


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""


def test_interruption_leaves_nothing_half_done(small):
    write(small.root, "01_a", 'open("../started", "w").close()\nimport time\ntime.sleep(600)')
    command = [sys.executable, str(ROOT / "tools" / "build_book.py"), "--profile", "smoke"]
    environment = os.environ | {"BOOK_ROOT": str(small.root)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not (small.root / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert "nothing was changed" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert not small.html.exists()
    assert not list(small.build.glob("running-*"))
    deadline = time.monotonic() + 20
    while processes_of(small.root) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert processes_of(small.root) == []
