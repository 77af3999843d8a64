"""Text in figures: never a formula, in whatever script it is written."""

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


@contextmanager
def drawn() -> Iterator[None]:
    """Figures made and saved within take every text as it is written.

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
    return {"text.parse_math": False, "text.usetex": False, "font.family": list(_families())}


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FONTS if name in installed) or ("sans-serif",)
