"""How figures look, and their text: never a formula, in whatever script it is written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from spsam.text.escape import plain

# Matplotlib's own first; the others are common fonts with other scripts, taken where installed.
_FONTS = (
    *("DejaVu Sans", "Noto Sans", "Segoe UI", "Arial Unicode MS"),
    *("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans", "Noto Sans CJK JP", "Yu Gothic"),
    *("IPAexGothic", "Noto Sans CJK KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Thai"),
    *("Noto Emoji", "Segoe UI Symbol", "Symbola"),
)


_STYLE: Any = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    # Editable text in a paper's figures, not outlines of letters.
    "pdf.fonttype": 42,
    # Outlines in a picture of a page: it looks alike whatever fonts a reader has.
    "svg.fonttype": "path",
    # Names of an SVG's parts are made of it: the same figure is the same file.
    "svg.hashsalt": "spsam",
    "savefig.facecolor": "white",
}


@contextmanager
def drawn() -> Iterator[None]:
    """Figures made and saved within have one style and take every text as it is written.

    A dollar sign begins no formula, and a sign that no installed font has is drawn as a box.
    """
    import matplotlib as mpl

    with mpl.rc_context(rc=settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def in_legend(text: str) -> str:
    """A legend's entry: matplotlib leaves out what begins with an underscore."""
    return f" {plain(text)}" if text.startswith("_") else plain(text)


def settings() -> Any:
    """Matplotlib's settings for that."""
    return {
        **_STYLE,
        "text.parse_math": False,
        "text.usetex": False,
        "font.family": list(_families()),
    }


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FONTS if name in installed) or ("sans-serif",)
