"""The page of a case: what is in it, and that a browser shows the label maps where they belong."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from spsam.data.geometry import Geometry
from spsam.reporting.view.niivue import read_library
from spsam.reporting.view.page import ViewedCase, write_view
from spsam.text.colours import rgb

pytest.importorskip("ipyniivue")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SHAPE = (9, 40, 60)
# Axes that run to the right, upwards and to the front, of three spacings.
GEOMETRY = Geometry(SHAPE, (4.0, 1.0, 1.5), (3.0, 2.0, 1.0), (-1, 0, 0, 0, 0, -1, 0, 1, 0))
BOX = (slice(1, 5), slice(6, 18), slice(8, 30))


def viewed() -> ViewedCase:
    """A bright block in a dark volume is the reference; the prediction is somewhere else."""
    image = np.random.default_rng(0).normal(100, 5, SHAPE).astype(np.float32)
    image[BOX] += 900
    reference, other = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    reference[BOX] = 1
    other[6:8, 25:35, 40:55] = 2
    corners = [[8, 6, 1], [29, 17, 4]]
    lines = [
        {"class": 1, "point": [18.0, 11.0, 2.0], "box": corners},
        {"class": 0, "point": [0, 0, 0]},
    ]
    return ViewedCase(
        "case <1>",
        "</script>",
        image,
        GEOMETRY,
        ("background", "</script><b>", "other"),
        {"reference": reference, "arm": other},
        {"arm": lines},
        ("reference",),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_view(tmp_path_factory.mktemp("page") / "case.html", viewed(), read_library())


def test_the_page_needs_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 3
    assert "case &lt;1&gt;" in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)
    assert "default-src 'none'" in text
    # The licence of what is in it goes with it.
    assert "Redistribution" in text
    # The same case is the same file.
    again = write_view(page.with_name("again.html"), viewed(), read_library())
    assert again.read_text(encoding="utf-8") == text


def shot(page: Path, clicks: str) -> np.ndarray:
    """The page as Chromium shows it from disk after some clicks, `(h, w, 3)` from 0 to 255."""
    script = (
        "<script>const timer = setInterval(() => { if (!document.body.dataset.ready) return;"
        f"clearInterval(timer); const click = (name) => document.querySelector("
        f"`input[aria-label='${{name}}']`).click(); {clicks} }}, 20)</script>"
    )
    copy, picture = page.with_name("clicked.html"), page.with_name("clicked.png")
    text = page.read_text(encoding="utf-8")
    copy.write_text(text.replace("</body>", f"{script}</body>"), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
    options += ["--enable-unsafe-swiftshader", "--virtual-time-budget=60000", "--hide-scrollbars"]
    options += ["--window-size=1000,700", f"--screenshot={picture}", copy.as_uri()]
    subprocess.run([CHROMIUM, *options], check=True, capture_output=True, timeout=300)
    stage = imread(picture)[:, : 1000 - 320, :3]
    return (stage * 255).round().astype(int)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_a_browser_shows_label_maps_where_the_image_has_them(page: Path) -> None:
    off = "click('contour of reference');"
    plain = shot(page, off)
    bright = (plain > 200).all(axis=-1)
    assert bright.mean() > 0.02
    assert not _of(plain, 1).any()
    opacity = "const range = document.getElementById('opacity'); range.value = 1;"
    filled = _of(shot(page, f"{off} {opacity} click('fill of reference');"), 1)
    # But for pixels that voxels share.
    assert (bright & filled).sum() / (bright | filled).sum() > 0.96
    # The other layer is elsewhere, and is off until it is switched on.
    both = shot(page, f"{off} {opacity} click('fill of arm'); click('fill of reference');")
    assert not (_of(both, 2) & bright).any()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")
def test_a_browser_shows_contours_points_and_boxes(page: Path) -> None:
    contours = _of(shot(page, ""), 1)
    inside = "click('contour of reference');"
    prompts = _of(shot(page, f"{inside} click('points of arm'); click('boxes of arm');"), 1)
    assert contours.sum() > 200
    assert prompts.sum() > 200
    # The box is the block's own: its lines lie on the contours, but for the point amid it.
    near = contours.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        near |= np.roll(contours, step, axis)
    assert (prompts & near).sum() / prompts.sum() > 0.7
    assert not _of(shot(page, f"{inside}"), 1).any()


def _of(picture: np.ndarray, number: int) -> np.ndarray:
    """Where a picture has the colour of a class."""
    return np.abs(picture - rgb(number)).max(axis=-1) <= 2


def test_what_is_labelled_is_neither_black_nor_white(tmp_path: Path) -> None:
    """A CT's organs are seen beside air and bone."""
    image = np.full(SHAPE, -1000, np.int16)
    image[:, 5:35, 5:55] = 40
    image[:, 5:8] = 1500
    labels = np.zeros(SHAPE, np.uint8)
    labels[BOX] = 1
    image[BOX] = np.random.default_rng(0).integers(80, 120, image[BOX].shape)
    case = ViewedCase("a", "", image, GEOMETRY, ("background", "organ"), {"reference": labels})
    text = write_view(tmp_path / "a.html", case, read_library()).read_text(encoding="utf-8")
    found = re.search(r'"window": \[(.*?), (.*?)\]', text)
    assert found is not None
    low, high = map(float, found.groups())
    assert -100 < low < 80
    assert 120 < high < 300


def test_more_classes_than_a_byte_holds(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.int16)
    labels[2, 3, 4] = 299
    image = np.random.default_rng(0).normal(size=SHAPE)
    upright = Geometry(SHAPE, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (-1, 0, 0, 0, -1, 0, 0, 0, 1))
    names = ["background", *(f"region {k}" for k in range(1, 300))]
    case = ViewedCase("a", "", image, upright, names, {"reference": labels})
    text = write_view(tmp_path / "a.html", case, read_library()).read_text(encoding="utf-8")
    (line,) = re.findall(r'id="data">(.*?)</script>', text)
    data = json.loads(line)
    assert data["wide"]
    content = gzip.decompress(base64.b64decode(data["layers"][0]["voxels"]))
    np.testing.assert_array_equal(np.frombuffer(content, "<u2").reshape(SHAPE), labels)
    assert data["start"] == [4, 3, 2]
    assert len({each["colour"] for each in data["classes"]}) > 200
