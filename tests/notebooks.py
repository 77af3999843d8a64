"""Executes the notebooks of docs/notebooks: `python -m tests.notebooks [--write] [NAME...]`.

Each runs in an empty folder. With `--write` its outputs are stored, without bars and warnings.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
_SECONDS = 1800
_WIDGET = "application/vnd.jupyter.widget-view+json"


def executed(file: Path) -> Any:
    """The notebook with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(file, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=_SECONDS, resources=place).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if not _passing(each)]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _passing(output: Any) -> bool:
    """Whether an output is of progress, or a warning."""
    return output.get("name") == "stderr" or _WIDGET in output.get("data", {})


def main() -> None:
    """Executes what is named, or all."""
    import nbformat

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true", help="store the outputs")
    options = parser.parse_args()
    names = options.names or sorted(file.stem for file in FOLDER.glob("*.ipynb"))
    for name in names:
        file = FOLDER / f"{name}.ipynb"
        notebook = executed(file)
        if options.write:
            nbformat.write(notebook, file)
        print(f"{name}: executed", flush=True)


if __name__ == "__main__":
    main()
