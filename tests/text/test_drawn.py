from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from spsam.engine.preview import Example, draw_preview

NAMES = (
    "$x$",
    "$x^{",
    "$$",
    r"a\$b_c^d",
    "左心室",
    "😀",
    "\x1b[31m",
    "\udcff",
    "_hidden",
    "e\u0301",
)


def test_names_in_figures_are_text_whatever_they_are(tmp_path: Path) -> None:
    labels = np.zeros((4, 8, 8), np.int16)
    labels[1:3, 2:6, 2:6] = 1
    image = np.zeros((4, 8, 8), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number, name in enumerate(NAMES):
            example = Example(f"{name}\nDice", image, labels, labels)
            draw_preview(tmp_path / f"{number}.png", [example], ["background", name, "other"])
    assert len(list(tmp_path.iterdir())) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_class_is_left_out_of_a_legend(name: str) -> None:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from spsam.text.drawn import drawn, in_legend

    with drawn():
        legend = Figure().legend(handles=[Patch(label=in_legend(name))])
        (text,) = legend.get_texts()
        assert not text.get_parse_math()
