"""The course pages against the chapters: objectives, exercises, needs, times, the map."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest
import yaml

from diffusion_creativity import exercises
from diffusion_creativity.exercises.assignments import ASSIGNMENTS

ROOT = Path(__file__).resolve().parents[2]
SYLLABUS = (ROOT / "book/syllabus.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "book/instructors_guide.md").read_text(encoding="utf-8")
COURSE = runpy.run_path(str(ROOT / "book/course.py"))
CHAPTERS = {chapter["page"]: chapter for chapter in COURSE["chapters"]()}
NUMBERS_IN_WORDS = {"five": 5, "forty": 40}


def section(text: str, label: str) -> str:
    """A labelled section of a page, up to the next label."""
    return re.split(r"^\([\w-]+\)=$", text.split(f"({label})=\n")[1], flags=re.M)[0]


def objectives() -> dict[str, list[tuple[str, list[str]]]]:
    """What the syllabus promises for each chapter: objective and labels of exercises."""
    found = {}
    for part in section(SYLLABUS, "sec-objectives").split("**{doc}`../notebooks/")[1:]:
        page, rows = part.split("`**", 1)
        cells = re.findall(r"^\| (.+?) \| (\{ref\}.*?) \|$", rows, re.M)
        found[page] = [(goal, re.findall(r"\{ref\}`([\w-]+)`", shown)) for goal, shown in cells]
    return found


def exercises_of(page: str) -> dict[str, str]:
    """Labels of the exercises of a chapter, and the text up to the next one."""
    text = COURSE["markdown"](page)
    parts = re.split(r"^```\{exercise\}.*\n", text, flags=re.M)[1:]
    return {
        re.match(r":label: (\S+)", part)[1]: part for part in parts if ":nonumber:" not in part[:80]
    }


def table(label: str) -> list[list[str]]:
    """Cells of the rows of a section's table, without its head."""
    lines = [line for line in section(SYLLABUS, label).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


APPENDICES = "19"  # numbers from here on


def pages_in(text: str) -> list[str]:
    """Chapters that a text links to."""
    return re.findall(r"\{doc\}`\.\./notebooks/(\w+)`", text)


def test_the_course_knows_every_chapter():
    paths = (ROOT / "notebooks").glob("[0-9][0-9]_*.py")
    files = {path.stem for path in paths if "```{exercise}" in path.read_text(encoding="utf-8")}
    assert set(CHAPTERS) == files
    assert list(CHAPTERS) == list(objectives())


def test_reading_order_is_that_of_the_table_of_contents():
    given = COURSE["numbers"]()
    order = [page for page in CHAPTERS if page < APPENDICES]  # a course reads those where it likes
    assert order == sorted(order, key=given.get)
    chapters = {page for page in given if re.match(r"\d\d_", page)}
    assert {page for page in chapters if page < APPENDICES} <= set(CHAPTERS)


@pytest.mark.parametrize("page", CHAPTERS)
def test_needs_are_those_that_the_chapter_states(page):
    needs, helps = COURSE["prerequisites"](page)
    assert needs == sorted(CHAPTERS[page]["needs"]), "book/course.yml and the chapter's box differ"
    assert helps == sorted(CHAPTERS[page]["helps"])


def test_needs_come_first():
    order = list(CHAPTERS)
    for page, chapter in CHAPTERS.items():
        assert all(order.index(n) < order.index(page) for n in chapter["needs"] + chapter["helps"])


def test_the_map_shows_every_need_directly_or_not():
    needs = {page: chapter["needs"] for page, chapter in CHAPTERS.items()}
    shown = {page: [a for a, b in COURSE["arrows"]() if b == page] for page in CHAPTERS}
    for page in CHAPTERS:
        assert COURSE["ancestors"](shown, page) == COURSE["ancestors"](needs, page)
        for other in shown[page]:  # and none twice
            rest = {**shown, page: [o for o in shown[page] if o != other]}
            assert other not in COURSE["ancestors"](rest, page)


def test_the_map_is_drawn_from_the_course_as_it_is():
    record = json.loads((ROOT / "book/_static/course_map.json").read_text(encoding="utf-8"))
    assert record == COURSE["record"](), "draw it again: .venv/bin/python book/course.py"
    svg = (ROOT / "book/_static/course_map.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in svg
    assert len(svg) < 200_000


def test_no_two_boxes_of_the_map_touch():
    places = list(COURSE["places"]().values())
    for k, (x, y) in enumerate(places):
        assert all(abs(x - u) > 0.86 or abs(y - v) > 0.9 for u, v in places[:k])


@pytest.mark.parametrize("page", CHAPTERS)
def test_objectives_name_exercises_that_exist_and_leave_none_out(page):
    goals = objectives()[page]
    assert len(goals) >= 2
    named = [label for _, labels in goals for label in labels]
    assert len(named) == len(set(named))
    assert set(named) == set(exercises_of(page)), f"{page}: objectives and exercises differ"
    assert all(labels and len(goal.split()) > 4 for goal, labels in goals)


@pytest.mark.parametrize("page", CHAPTERS)
def test_exercises_that_ask_for_a_function_have_a_self_check(page):
    """What shows that an objective is reached is a check that exists; open questions have none."""
    source = (ROOT / "notebooks" / f"{page}.py").read_text(encoding="utf-8")
    parts = re.split(r"^# ```\{exercise\}.*\n", source, flags=re.M)[1:]
    for part in parts:
        checks = re.findall(r"dc\.exercises\.(check_\w+)\(", part)
        assert checks or not re.search(r"Write\s+(?:# )?`", part.split("# %%")[0]), part[:80]
        assert all(hasattr(exercises, check) for check in checks)


@pytest.mark.parametrize("page", CHAPTERS)
def test_times_are_those_of_the_box_and_of_the_rule(page):
    (row,) = [row for row in table("sec-course-time") if f"/{page}`" in row[0]]
    box = re.search(r"\*\*Time\*\*(.*?)(?:\*\*Prerequisites|$)", COURSE["markdown"](page), re.S)[1]
    box = box.split("- **Prerequisites")[0].split("```")[0]
    said = {int(n) for n in re.findall(r"\d+", box)}
    said |= {number for word, number in NUMBERS_IN_WORDS.items() if word in box}
    assert {int(n) for n in re.findall(r"\d+", row[1])} <= said
    reading, doing = COURSE["minutes"](page)
    assert abs(int(row[2]) - reading) <= 10, "write the table of times again: book/course.py"
    assert abs(int(row[3]) - doing) <= 3


def test_times_add_up():
    *rows, total = table("sec-course-time")
    assert [sum(int(row[k]) for row in rows) for k in (2, 3)] == [int(n) for n in total[2:]]
    assert len(rows) == len(CHAPTERS)


@pytest.mark.parametrize(("label", "weeks"), [("sec-course-twelve", 12), ("sec-course-six", 6)])
def test_a_plan_reads_nothing_before_what_it_needs(label, weeks):
    rows, read = table(label), []
    assert [int(row[0]) for row in rows] == list(range(1, weeks + 1))
    for row in rows:
        for page in pages_in(row[1]):
            assert set(CHAPTERS[page]["needs"]) <= set(read), (
                f"week {row[0]}: {page} comes too early"
            )
            read.append(page)
    assert len(read) == len(set(read)) >= 2 * 6


def test_points_of_the_assignments_are_those_that_are_given():
    rows = {
        row[0].split(":")[0].lower().replace(" ", "_"): row for row in table("sec-course-graded")
    }
    assert rows.keys() == ASSIGNMENTS.keys()
    for name, (checked, written) in ASSIGNMENTS.items():
        assert int(rows[name][2]) == sum(points for _, points in checked.values())
        assert int(rows[name][3]) == sum(written.values())
        assert f"notebooks/assignments/{name}.ipynb" in rows[name][4]


@pytest.mark.parametrize("page", CHAPTERS)
def test_the_guide_has_something_on_every_chapter(page):
    """Misconceptions, what to show, and questions: for each chapter."""
    parts = re.split(r"^### \{doc\}`\.\./notebooks/(\w+)`$", GUIDE, flags=re.M)
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    wanted = ("**Misconception", "**Show", "**Discuss")
    assert all(word in texts[page] for word in wanted[: 1 if page == "18_project_ideas" else 3])
    assert texts[page].count("?") >= 1


def test_the_guide_gives_the_points_of_what_is_written():
    for name, (_, written) in ASSIGNMENTS.items():
        for question, points in written.items():
            assert re.search(rf"\| {name} \| {question} \| {points} \|", GUIDE), (name, question)


def test_the_course_file_is_small_and_says_all():
    read = yaml.safe_load((ROOT / "book/course.yml").read_text(encoding="utf-8"))
    assert all({"page", "part", "short", "x"} <= set(chapter) for chapter in read)
