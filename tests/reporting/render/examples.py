"""A table with everything that a format must cope with."""

from __future__ import annotations

from spsam.reporting.render.model import Cell, Column, Group, Line, Source, Table

SIGNS = r"a_b & 50% #1 $x {y} ~ ^ \ <z> |w| [k] *"


def line(name: str, value: float | None, rank: int = 0, notes: tuple[str, ...] = ()) -> Line:
    text = "—" if value is None else f"{value:.2f} ± 0.10"
    source = Source("mean", (f"run-{name}",), ("case1", "case2"))
    return Line(
        name,
        (
            Cell(name, {"arm": name}),
            Cell(SIGNS if name == "[A]" else "plain", {"title": name}),
            Cell(text, {"dice": value, "std": 0.1}, rank, notes, source),
        ),
    )


TABLE = Table(
    name="my_table",
    caption=f"Dice in % on my_data: {SIGNS}; n=3 seeds, − and × too.",
    columns=(
        Column("arm", "arm", number=False),
        Column("title", "title_of & 100%", number=False),
        Column("dice", "Dice"),
    ),
    groups=(
        Group("CNN_1", (line("[A]", 90.0, 1, ("a",)), line("B", 80.0))),
        Group("rest", (line("C", 85.0, 2), line("D", None))),
    ),
    notes={"a": f"Said of one cell: {SIGNS}"},
    grouped_by="family",
)
