"""A case's page in a notebook, embedded in a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from spsam.files import write_text


@dataclass(frozen=True)
class CasePage:
    """The page of a case; displayed as the last value of a notebook cell.

    Attributes:
        case: Name of the case.
        html: The whole page.
        height: Height of the frame in a notebook, pixels.
    """

    case: str
    html: str = field(repr=False)
    height: int = 640

    def save(self, path: Path | str) -> Path:
        """Writes the page as a file that works offline."""
        write_text(Path(path), self.html)
        return Path(path)

    def _repr_html_(self) -> str:
        # A frame isolates styles and scripts from those of the notebook.
        page = escape(self.html, quote=True)
        style = f"width: 100%; height: {self.height}px; border: 0"
        return f'<iframe title="{escape(self.case)}" style="{style}" srcdoc="{page}"></iframe>'
