"""A case's page in a notebook: the same page, in a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from spsam.files import write_text


@dataclass(frozen=True)
class CasePage:
    """The page of a case; the last line of a notebook's cell shows it.

    Attributes:
        case: Its name.
        html: The whole page.
        height: Of the frame in a notebook, pixels.
    """

    case: str
    html: str = field(repr=False)
    height: int = 640

    def save(self, path: Path | str) -> Path:
        """Writes the page as a file that works from disk."""
        write_text(Path(path), self.html)
        return Path(path)

    def _repr_html_(self) -> str:
        # In a frame of its own, neither styles nor scripts meet those of the notebook.
        page = escape(self.html, quote=True)
        style = f"width: 100%; height: {self.height}px; border: 0"
        return f'<iframe title="{escape(self.case)}" style="{style}" srcdoc="{page}"></iframe>'
