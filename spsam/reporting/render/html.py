"""A table as a piece of an HTML page."""

from __future__ import annotations

from spsam.reporting.render.model import Table
from spsam.reporting.render.templates import html_templates


def to_html(table: Table) -> str:
    """The table as `<figure class="table">`; every text is escaped, no style is set."""
    return html_templates().get_template("table.html.j2").render(table=table)
