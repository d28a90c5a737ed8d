"""The front page and the teachers' page say what the notebooks say, and lead somewhere."""

import re
import tomllib

import nbformat
import pandas as pd
import pytest

from helpers.series import front_page
from helpers.series.front_page import PAGES, PICTURE
from helpers.series.plan import MINUTES, QUESTIONS
from helpers.settings import ROOT

NOTEBOOKS = ROOT / "notebooks"
BY_OTHERS = {"bench"}
MIXED, GOOD = list(QUESTIONS)[:2]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections():
    return front_page.sections(NOTEBOOKS)


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_say_what_the_notebooks_say(name, sections):
    again = "out of date; write it anew: .venv/bin/python -m helpers.series.front_page"
    assert front_page.filled(page(name), sections) == page(name), f"{name} is {again}"


def test_the_picture_is_the_notebooks():
    assert (ROOT / PICTURE).read_bytes() == front_page.picture(NOTEBOOKS)
    assert (ROOT / PICTURE).stat().st_size < 200_000


@pytest.mark.parametrize("name", PAGES)
def test_nothing_waits_to_be_filled_in(name, sections):
    opened = set(re.findall(r"<!-- ([a-z][\w -]*) -->", page(name)))
    assert opened
    assert opened <= set(sections) | BY_OTHERS


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    links = re.findall(r"\]\(([^)\s]+)\)", page(name))
    assert links
    missing = [link for link in links if not ((ROOT / name).parent / link.split("#")[0]).exists()]
    assert missing == []


# A notebook of the test's own


def notebook(folder, name, rows, printed="dataset  made up, test: 2 classes\nprofile  full: all"):
    columns = ["claim", "post", "measured", "holds if", "n", "control", "verdict"]
    table = pd.DataFrame(rows, columns=columns).set_index("claim")
    v4 = nbformat.v4
    first = v4.new_code_cell("open", outputs=[v4.new_output("stream", text=printed)])
    held = v4.new_output("execute_result", {"text/html": table.to_html()})
    cells = [first, v4.new_code_cell('what_held(outcomes, "00")', outputs=[held])]
    nbformat.write(v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


def claim(statement, post, verdict):
    return [statement, post, "|logit| & <more>: 2.0 [1.0, 3.0] %", "below 1.0 %", "9", "?", verdict]


@pytest.fixture
def folder(tmp_path):
    lacking = "not re-run (needs the full profile)"
    rows = [
        claim("Ours fails", "us", "failed"),
        claim("Theirs holds", "A", "held"),
        claim("Theirs fails", "B, implied", "failed"),
        claim("Theirs fails too", "A", "failed"),
        claim("Theirs waits", "A", lacking),
    ]
    notebook(tmp_path, MIXED, rows)
    notebook(tmp_path, GOOD, [claim("All is well", "us", "held")])
    return tmp_path


def test_verdicts_are_counted_and_a_posts_first_failure_is_shown(folder):
    lines = front_page.what_held_table(folder).splitlines()[2:]
    mixed, good, every = lines
    link, asks, claims, minutes = (cell.strip() for cell in mixed.strip("|").split("|"))
    assert link == f"[`{MIXED}`](notebooks/{MIXED}.ipynb)"
    assert asks == f"{QUESTIONS[MIXED]}<br>*Failed: “Theirs fails” (B, implied)*"
    assert claims == "1 held, 3 failed, 1 not re-run"
    assert [float(number) for number in minutes.split(", ")] == list(MINUTES[MIXED])
    assert f"| {QUESTIONS[GOOD]} | 1 held |" in good
    assert "| 2 held, 3 failed, 1 not re-run |" in every


def test_a_notebook_of_the_readers_own_has_a_row(folder):
    notebook(folder, "99_mine", [claim("Mine", "us", "held")])
    assert "| 1 held |" in front_page.what_held_table(folder).splitlines()[-2]


def test_the_table_of_all_claims_leaves_none_out(folder):
    lines = front_page.claims_table(folder).splitlines()[2:]
    assert len(lines) == 6
    assert lines[4].endswith("| not re-run (needs the full profile) |")
    assert "| Ours fails | us | \\|logit\\| & <more>: 2.0" in lines[0]


def test_other_runs_than_the_usual_are_named(folder):
    assert front_page.measured_on(folder) == "made up, full profile"
    notebook(folder, "02_other", [], "dataset  scenes, test: 10\nprofile  quick: few")
    said = "made up, full profile and scenes, quick profile"
    assert front_page.measured_on(folder) == said


def test_a_notebook_that_was_never_run_is_an_error(folder):
    empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("what_held(outcomes, '02')")])
    nbformat.write(empty, folder / "02_empty.ipynb")
    with pytest.raises(ValueError, match=r"02_empty.*\./run notebooks 02"):
        front_page.claims_table(folder)


def test_only_known_sections_are_filled_in():
    text = "a <!-- one -->old\nold<!-- /one --> b <!-- bench -->kept<!-- /bench -->"
    new = front_page.filled(text, {"one": "\\1 new"})
    assert new == "a <!-- one -->\\1 new<!-- /one --> b <!-- bench -->kept<!-- /bench -->"
    with pytest.raises(ValueError, match="in pairs"):
        front_page.filled("<!-- one --> and no end", {"one": ""})


def test_writing_says_what_it_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(front_page, "sections", lambda folder: {"one": "new"})
    monkeypatch.setattr(front_page, "picture", lambda folder: b"picture")
    (tmp_path / "notebooks").mkdir()
    assert front_page.write(tmp_path) == []
    (tmp_path / "README.md").write_text("<!-- one --><!-- /one -->")
    assert front_page.write(tmp_path) == [tmp_path / "README.md", tmp_path / PICTURE]
    assert "-->new<!--" in (tmp_path / "README.md").read_text()
    assert front_page.write(tmp_path) == []


# What people will rely on


def test_the_lines_for_kaggle_leave_torch_alone():
    lines = re.search(r"```python\n(.*?)```", page("README.md"), re.DOTALL)[1].splitlines()
    assert len(lines) == 5
    (install,) = (line.split() for line in lines if "install" in line)
    assert install[:3] == ["!pip", "install", "-q"]
    assert "--no-deps" in install
    names = {word for word in install[3:] if not word.startswith("-")}
    assert names
    assert names <= set((ROOT / "requirements.txt").read_text().split())


def test_the_citation_fits_the_project():
    project = tomllib.loads(page("pyproject.toml"))["project"]
    cited = page("CITATION.cff").splitlines()
    wanted = [f"version: {project['version']}", f"license: {project['license']}"]
    wanted += [f"  - name: {author['name']}" for author in project["authors"]]
    assert set(wanted) <= set(cited)


def plans() -> dict[str, list[tuple[int, str]]]:
    """The rows of the teachers' plans, by heading: minutes, and where."""
    parts = re.split(r"^## (.*)$", page("notebooks/teaching.md"), flags=re.MULTILINE)
    rows = r"^\| (\d+) \| ([^|]*)\|"
    found = {
        title: [(int(minutes), where) for minutes, where in re.findall(rows, body, re.MULTILINE)]
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    return {title: rows for title, rows in found.items() if rows}


def test_the_plans_add_up():
    totals = {title: sum(minutes for minutes, _ in rows) for title, rows in plans().items()}
    assert totals == {"Ninety minutes: is the number true?": 90, "Half a day: 210 minutes": 210}


@pytest.mark.parametrize("title", plans())
def test_the_plans_name_what_there_is_and_leave_time_for_it(title):
    for minutes, where in plans()[title]:
        if link := re.search(r"\((\d\w+\.ipynb)\)", where):
            text = front_page.text_of(NOTEBOOKS / link[1])
            headings = set(re.findall(r"^##+ (.*)$", text, re.MULTILINE))
            assert set(re.findall(r"\*(.+?)\*", where)) <= headings
            long = {number: int(m) for number, _, m, _ in front_page.EXERCISE.findall(text)}
            asked = re.findall(r"\d", where.partition("exercise")[2])
            assert sum(long[number] for number in asked) <= minutes


def test_every_exercise_is_listed():
    for path in NOTEBOOKS.glob("[0-9]*.ipynb"):
        listed = front_page.EXERCISE.findall(front_page.text_of(path))
        assert len(listed) == front_page.text_of(path).count("<summary>Solution</summary>")
