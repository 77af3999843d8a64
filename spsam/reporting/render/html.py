"""A table as an HTML fragment."""

from __future__ import annotations

from spsam.reporting.render.model import Table
from spsam.reporting.render.templates import html_templates


def to_html(table: Table) -> str:
    """The table as `<figure class="table">`; all texts are escaped, no style is set."""
    return html_templates().get_template("table.html.j2").render(table=table)
