"""Compared runs as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langxfer.report.methods import Cell, ComparedRuns, MethodRow
from langxfer.report.recipe_differences import Difference, in_words
from langxfer.report.samples import cell as table_cell

LATEX = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}"},
        # At the start of a row these would be arguments of the line break before them.
        **{"[": "{[}", "]": "{]}", "*": "{*}"},
        **{
            "±": r"$\pm$",
            "↑": r"$\uparrow$",
            "↓": r"$\downarrow$",
            "–": r"\textendash{}",
            "`": r"\textasciigrave{}",
            "\n": " ",
        },
    }
)
COLUMNS = (
    *("method", "published", "evaluator", "measure", "column", "score", "unit", "value", "standard_error", "n"),
    *("baseline", "difference", "low", "high", "p", "adjusted_p", "test", "verdict", "note", "signature", "source"),
)


def markdown(found: ComparedRuns) -> str:
    """A page; values and differences lie below each other in a cell."""
    names = found.differences.names
    lines = ["# Comparison", "", _md(found.differences.verdict), ""]
    for title, rows in _differences(found):
        lines += [f"## {title}", "", *_md_table(["", *names], ([row.path, *map(in_words, row.values)] for row in rows))]
    lines += [f"- {_md(warning)}" for warning in found.differences.warnings]
    lines += [""] if found.differences.warnings else []
    for table in found.tables:
        rows = (
            ["" if at else measure.heading, row.method, *(_both(row.cells.get(name)) for name in table.columns)]
            for measure in table.measures
            for at, row in enumerate(measure.rows)
        )
        lines += [f"## {_md(table.title)}", "", *_md_table(["", "method", *table.columns], rows)]
    lines += [_md(found.tests), "", *(f"- {_md(note)}" for note in [*found.notes, *_sources(found)])]
    return "\n".join(lines).rstrip() + "\n"


def latex(found: ComparedRuns) -> str:
    """Tables for a paper, with booktabs; differences in a line of their own below the values."""
    lines = [r"% \usepackage{booktabs}", _tex(found.differences.verdict), ""]
    for title, rows in _differences(found):
        body = [_latex_row([row.path, *map(in_words, row.values)]) for row in rows]
        lines += _latex_table(title, "l" * (len(found.differences.names) + 1), ["", *found.differences.names], body)
    for table in found.tables:
        width = len(table.columns) + 1
        body: list[str] = []
        for measure in table.measures:
            body += [r"\addlinespace"] if body else []
            body.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{_tex(measure.heading)}}}}} \\")
            for row in measure.rows:
                cells = [row.cells.get(name) for name in table.columns]
                body.append(_latex_row([row.method, *(cell.value if cell else "" for cell in cells)]))
                changes = [cell.change if cell else "" for cell in cells]
                body += [_latex_row(["", *changes])] if any(changes) else []
        lines += _latex_table(table.title, "l" + "r" * (width - 1), ["", *table.columns], body)
    sentences = [*found.differences.warnings, found.tests, *found.notes, *_sources(found)]
    return "\n".join([*lines, *(f"{_tex(sentence)}\n" for sentence in sentences)])


def csv_text(found: ComparedRuns) -> str:
    """A row for every method and score, with what the test says; empty where there is nothing to say."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table, measure, row, column, cell in found.cells():
        place = {"method": row.method, "evaluator": table.evaluator, "measure": measure.name, "column": column}
        baseline = {"baseline": found.baseline if cell.against else None}
        writer.writerow({**place, **_number(row, cell), **baseline, **_tested(cell)})
    return out.getvalue()


def _number(row: MethodRow, cell: Cell) -> dict[str, Any]:
    score = cell.score
    values = {name: getattr(score, name) for name in ("unit", "value", "standard_error")}
    own = {"source": row.source} if row.source else {"n": score.n, "signature": score.signature}
    return {"score": score.name, **values, **own, "published": "yes" if row.source else "no"}


def _tested(cell: Cell) -> dict[str, Any]:
    compared = cell.comparison
    if compared is None or compared.effect is None:
        return {"difference": cell.difference, "note": cell.obstacle or (compared and compared.untested)}
    known = compared.record()["effect"]
    effect = {name: known[name] for name in ("difference", "low", "high", "p", "test")}
    return {**effect, "adjusted_p": compared.adjusted_p, "verdict": compared.verdict}


def json_text(found: ComparedRuns) -> str:
    """Everything."""
    return json.dumps(found.record(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[ComparedRuns], str]] = {
    "markdown": markdown,
    "csv": csv_text,
    "latex": latex,
    "json": json_text,
}
HTML = "html"  # a page with figures, which are files beside it: html.writing makes it
SUFFIXES = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json", ".html": HTML}


def _differences(found: ComparedRuns) -> Iterator[tuple[str, Sequence[Difference]]]:
    if found.differences.rows:
        yield "In what the recipes differ", found.differences.rows
    if found.differences.apart:
        yield "Other differences, which change no score that is compared", found.differences.apart


def _sources(found: ComparedRuns) -> list[str]:
    """Where published rows are from."""
    rows = (row for table in found.tables for measure in table.measures for row in measure.rows)
    return list(dict.fromkeys(f"{row.method}: {row.source}." for row in rows if row.source))


def _both(cell: Cell | None) -> str:
    return "\n".join(part for part in (cell.value, cell.change) if part) if cell else ""


def _md(text: str) -> str:
    """Text of which nothing is taken for Markdown or HTML."""
    return table_cell(text, limit=len(text)) if text else ""


def _md_table(head: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_md, row)) + " |" for row in (list(head), *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:], ""]


def _tex(text: str) -> str:
    """Text of which nothing is taken for a command; numbers get the signs of mathematics."""
    plain = re.sub("-(?=-)", "-{}", text.translate(LATEX))  # two would be a dash
    return re.sub(r"(^|\s|\{\[\})([+-])(?=\d)", r"\1$\2$", plain)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"


def _latex_table(caption: str, columns: str, head: Sequence[str], body: Sequence[str]) -> list[str]:
    return [
        *(r"\begin{table}", rf"\caption{{{_tex(caption)}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"),
        *(_latex_row(head), r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""),
    ]
