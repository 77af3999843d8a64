"""Style and text handling of figures: no formulas, and any script."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from spsam.text.escape import plain

# Matplotlib's default comes first. The others are common fonts of other scripts, if installed.
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
    # Embed fonts, so that text remains editable in a paper's figures.
    "pdf.fonttype": 42,
    # Draw text as outlines in SVG images of pages, so that they look the same with any fonts.
    "svg.fonttype": "path",
    # Salt of the ids in an SVG file: the same figure results in the same file.
    "svg.hashsalt": "spsam",
    "savefig.facecolor": "white",
}


@contextmanager
def drawn() -> Iterator[None]:
    """Apply the common style to all figures created and saved within the context.

    Text is drawn literally: a dollar sign does not start a formula. A character that no installed
    font contains is drawn as a box.
    """
    import matplotlib as mpl

    with mpl.rc_context(rc=settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def in_legend(text: str) -> str:
    """Escape a legend entry; matplotlib would omit one that begins with an underscore."""
    return f" {plain(text)}" if text.startswith("_") else plain(text)


def settings() -> Any:
    """Return the matplotlib settings that `drawn` applies."""
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
