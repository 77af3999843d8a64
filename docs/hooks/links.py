"""Links between documents as they lie in the repository, brought to the pages of the site."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from elsewhere import PAGES

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)]*)?(\))")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrites links that leave docs/: to the page that a document became, or to plain text.

    A picture outside docs/ and a folder or a source file have no page: their link becomes its text.
    """
    from mkdocs.exceptions import PluginError

    here = _source_of(page)

    def moved(match: re.Match[str]) -> str:
        target = os.path.normpath(here.parent / match[2])
        relative = os.path.relpath(target, ROOT)
        wanted = PAGES.get(relative)
        if wanted is None and relative.startswith("docs" + os.sep):
            wanted = PurePosixPath(relative).relative_to("docs").as_posix()
        if wanted is None or files.get_file_from_path(wanted) is None:
            if not Path(target).exists():
                raise PluginError(f"{page.file.src_uri}: the link to {match[2]} leads nowhere")
            return f"{match[1]}{_UNLINKED}{match[4]}"
        back = os.path.relpath(wanted, PurePosixPath(page.file.src_uri).parent)
        return f"{match[1]}{back}{match[3] or ''}{match[4]}"

    text = _LINK.sub(moved, markdown)
    text = re.sub(rf"!\[[^\]]*\]\({_UNLINKED}\)", "", text)
    return re.sub(rf"\[([^\]]*)\]\({_UNLINKED}\)", r"\1", text)


_UNLINKED = "unlinked-in-the-site"


def _source_of(page: Any) -> Path:
    """The file in the repository that a page is made of."""
    for source, uri in PAGES.items():
        if uri == page.file.src_uri:
            return ROOT / source
    return ROOT / "docs" / str(page.file.src_uri)
