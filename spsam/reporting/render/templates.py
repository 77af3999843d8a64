"""The shipped templates for LaTeX and HTML."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spsam.config.places import shipped
from spsam.text.escape import plain

if TYPE_CHECKING:
    from jinja2 import Environment


def _seen(value: Any) -> Any:
    return plain(value) if type(value) is str else value


@lru_cache(maxsize=1)
def latex_templates() -> Environment:
    """Templates whose delimiters do not conflict with TeX's braces and per cent signs."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(shipped("reports") / "templates"),
        undefined=StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


@lru_cache(maxsize=1)
def html_templates() -> Environment:
    """Templates that escape all values."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(shipped("reports") / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
        finalize=_seen,
    )
