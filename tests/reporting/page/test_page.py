from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from spsam.reporting.report import Report, write_report
from tests.reporting.recorded import record
from tests.reporting.store import make_study

EMPTY = {"br", "img", "link", "meta", "source"}


class Page(HTMLParser):
    """Checks that elements close in order, and collects addresses and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in EMPTY:
            self.open.append(tag)
        for name, value in attrs:
            if name == "href":
                (self.links if tag == "a" else self.loaded).append(str(value))
            elif name in {"src", "srcset"}:
                self.loaded.append(str(value))
            elif name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    home = tmp_path_factory.mktemp("home")
    status = {("S2", 1): "failed", ("S3", 0): "missing"}
    titles = {"S1": "</script><b>bold & _under_"}
    study = make_study(home, seeds=(0, 1), status=status, titles=titles)
    error = home / "runs" / "S2run001" / "error.txt"
    error.write_text("Traceback\n" * 40 + "ValueError: <b>1 & 2</b>\n")
    for run in (home / "runs").iterdir():
        if (run / "rows.jsonl").exists():
            record(home, run.name)
    with closing(sqlite3.connect(home / "mlflow.db")) as base:
        base.executescript(
            "CREATE TABLE runs(run_uuid, experiment_id, lifecycle_stage, start_time);"
            "CREATE TABLE tags(key, value, run_uuid);"
            "INSERT INTO runs VALUES('f00d', 1, 'active', 0);"
            "INSERT INTO tags VALUES('run_id', 'S1run000', 'f00d');"
        )
    return write_report(study, formats=["html", "csv"], pdf=False)


def test_the_page_is_whole_and_needs_nothing_else(report: Report) -> None:
    text = (report.folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith("data:") for address in page.loaded)
    pictures = [address for address in page.loaded if address.startswith("data:image/svg+xml")]
    # Each figure twice: as wide as a column of the page, and as a phone.
    assert len(pictures) == 2 * 7
    assert len(set(pictures)) == len(pictures)
    # Its own script alone, which sorts a table.
    assert re.findall("<script[^>]*>", text) == ["<script>"]
    assert "@import" not in text
    assert not re.search(r"url\((?!data:)", text)
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("http://127.0.0.1:"):
            assert (report.folder / unquote(link)).exists(), link


def test_it_says_what_is_there_and_what_is_missing(report: Report) -> None:
    text = (report.folder / "index.html").read_text(encoding="utf-8")
    for said in (
        *("0123456789abcdef", "fedcba9876543210", "8 train, 2 val, 6 test", "4 of 6 finished"),
        *("S2 seed 1: failed", "S3 seed 0: missing", "ValueError: &lt;b&gt;1 &amp; 2&lt;/b&gt;"),
        *("blocks.adapter", "Linux-6.1-x86_64", "0123456789ab", "#/experiments/1/runs/f00d"),
        "&lt;/script&gt;&lt;b&gt;bold &amp; _under_",
    ):
        assert said in text, said
    assert text.count("Traceback\n") == 24  # the error's end, not all of it
    written = {file.suffix for file in report.files}
    assert written == {".html", ".csv", ".json", ".tex", ".pdf", ".svg", ".png"}


def cells(text: str) -> list[list[str]]:
    """The rows of the table of cases: what stands between the tags of each cell."""
    table = text[text.index('<table class="sortable">') :]
    rows = re.findall("<tr>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)
    return [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_it_shows_all_cases_and_links_those_that_were_viewed(report: Report) -> None:
    """Best, median and worst stand first; a case without a score, too, if it has a page."""
    head, *rows = cells((report.folder / "index.html").read_text(encoding="utf-8"))
    assert head == ["case", "place", "S1", "S2", "S3", "page"]
    assert [row[1] for row in rows] == ["best", "median", "worst", "", "", ""]
    scores = [float(row[4]) for row in rows]
    assert scores[:3] == [max(scores), sorted(scores)[3], min(scores)]
    assert {row[-1] for row in rows} == {"none yet"}
    folder = report.folder.parent / "viewed"
    (folder / "cases").mkdir(parents=True)
    best = rows[0][0]
    for name in (best, "of-the-training"):
        (folder / "cases" / f"{name}.html").touch()
    write_report(report.study, folder, formats=["csv"], pdf=False)
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert Page(text).open == []
    again = cells(text)
    assert again[1][-1] == f'<a href="cases/{best}.html">view</a>'
    assert again[-1][:5] == ["of-the-training", "", "", "", ""]


@pytest.mark.slow
def test_a_report_never_imports_torch_and_is_quick(report: Report) -> None:
    """Processor time: other processes on the machine make nothing fail."""
    code = (
        "import resource, sys; from spsam.cli.main import main\n"
        "sys.argv[1:] = ['report', '--out', sys.argv[1], '--save', sys.argv[2]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'monai', 'timm', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "own, tex = (resource.getrusage(who) for who in"
        " (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))\n"
        "assert own.ru_utime + tex.ru_utime < 30\n"
    )
    output = report.folder.parent / "again"
    command = [sys.executable, "-c", code, str(report.study), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (output / "index.html").is_file()


def browser_or_skip() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    return found or pytest.skip("Chromium is not installed")


def measured_in_browser(page: Path, script: str, profile: Path, width: int) -> str:
    """What a script leaves as the title of a page that a browser of this width has loaded."""
    probe = page.with_name(f"probe-{width}.html")
    text = page.read_text(encoding="utf-8")
    # A frame has the width that is asked for; a window may have a least one.
    probe.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    frame = page.with_name(f"frame-{width}.html")
    frame.write_text(
        f'<body><iframe src="{probe.name}" width="{width}" height="900"></iframe>'
        "<script>onmessage = (e) => { document.body.textContent = e.data; };</script></body>",
        encoding="utf-8",
    )
    command = [
        *(browser_or_skip(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=5000", frame.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=300, text=True)
    probe.unlink()
    frame.unlink()
    return done.stdout.partition("<body>")[2].partition("</body>")[0]


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(report: Report, tmp_path: Path, width: int) -> None:
    script = (
        "onload = () => parent.postMessage(JSON.stringify({"
        "page: document.documentElement.scrollWidth, screen: innerWidth,"
        "columns: new Set([...document.querySelectorAll('.picture:not(.wide)')]"
        ".map(e => e.offsetLeft)).size,"
        "narrow: [...document.querySelectorAll('.card img')].filter(i => "
        "i.currentSrc !== i.src).length}), '*')"
    )
    seen = json.loads(measured_in_browser(report.folder / "index.html", script, tmp_path, width))
    assert seen["page"] <= seen["screen"]
    assert seen["columns"] == (2 if width == 1280 else 1)
    assert seen["narrow"] == (0 if width == 1280 else 7)


def test_a_click_sorts_the_cases(report: Report, tmp_path: Path) -> None:
    script = (
        "const head = document.querySelectorAll('.sortable th')[4];"
        "const column = () => [...document.querySelectorAll('.sortable tbody tr')]"
        ".map(r => parseFloat(r.cells[4].textContent));"
        "onload = () => { head.click(); const down = column(); head.click();"
        "parent.postMessage(JSON.stringify([down, column()]), '*'); }"
    )
    found = measured_in_browser(report.folder / "index.html", script, tmp_path, 1280)
    down, up = json.loads(found)
    assert down == sorted(down, reverse=True)
    assert up == down[::-1]
    assert len(set(down)) > 1


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it(report: Report, tmp_path: Path, width: int) -> None:
    """The picture stays in $SPSAM_ARTIFACTS, to be looked at."""
    browser = browser_or_skip()
    folder = Path(os.environ.get("SPSAM_ARTIFACTS", tmp_path)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"report-{width}.png"
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},6000"),
        *(f"--screenshot={picture}", (report.folder / "index.html").as_uri()),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    from PIL import Image

    with Image.open(picture) as image:
        assert image.width == width
        grey = image.convert("L")
        # Text and figures all the way down, not an empty page.
        for top in range(0, 5000, 1000):
            low, high = grey.crop((0, top, width, top + 1000)).getextrema()
            assert low < 80
            assert high > 200
