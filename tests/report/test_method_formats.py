"""Files of compared runs: whatever models and methods are called, the text stays text."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from langxfer.components import Evaluation, Score
from langxfer.report import method_formats
from langxfer.report.compare_runs import compare_finished
from langxfer.report.method_formats import FORMATS
from langxfer.report.methods import ComparedRuns
from langxfer.report.published import Published, PublishedNumber
from tests.report.finished_values import HALF, MOST, finished, shares

HOSTILE = "[a_b] *c* | 100 % & <script> $x^2$ #1 {~} \\ `d`"
SFT = {"phases.0.objective": {"name": "sft"}}
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)


@pytest.fixture
def found() -> ComparedRuns:
    """Three methods, one of them published and one without a comparable score."""
    after = {"belebele": shares("belebele", {"de": HALF, "sw": HALF})}
    other = {
        "belebele": shares("belebele", {"de": MOST, "sw": [0] * 20}),
        "tea": Evaluation([Score("tea/x", None, None, 0, "s:1")], []),
    }
    third = {"belebele": shares("belebele", {"de": MOST}, how="shots:5")}
    number = PublishedNumber(score="belebele/de", model="org/model", method="A & B", value=1, unit="%", source="t_2")
    runs = [finished("clo", after), finished(HOSTILE, other, SFT), finished("third", third, SFT)]
    return compare_finished(runs, published=Published(runs[0].path, (number,), ()))


def tables(text: str) -> list[list[list[str]]]:
    """Tables of a Markdown page as rows of cells, by another reader."""
    found: list[list[list[str]]] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token, after in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        if token.type == "tr_open":
            found[-1].append([])
        if token.type in ("td_open", "th_open"):
            parts = (c.content if c.type.startswith("text") else f"({c.type} {c.content})" for c in after.children)
            found[-1][-1].append("".join(parts))
    return found


def test_markdown_has_every_number_in_its_place(found):
    differences, _, belebele, tea = tables(FORMATS["markdown"](found))
    assert differences[0] == ["", "clo", HOSTILE, "third"]
    assert ["phases[0].objective.name", "clo", "sft", "sft"] in differences
    assert belebele[0] == ["", "method", "de", "sw"]
    clo, hostile, third, published = belebele[1:]
    assert clo == ["belebele (%) ↑", "clo", "50.0 ± 11.2", "50.0 ± 11.2"]
    assert hostile[1] == HOSTILE and hostile[2].startswith("90.0 ± 6.7(html_inline <br>)+40.0 [")
    assert third[2:] == ["90.0 ± 6.7(html_inline <br>)not comparable", ""]
    assert published[1:] == ["A & B (published)", "1.0", ""]
    assert tea[1] == ["tea ↑", HOSTILE, "–"]


@settings(deadline=None)
@given(texts)
def test_markdown_cells_are_read_back(text):
    lines = method_formats._md_table(["x", text], iter([[text, "y"]]))
    ((head, row),) = tables("\n".join(lines))
    assert (head[1], row[0]) == (text.strip(), text.strip()) and row[1] == "y"


COMMANDS = {
    **{rf"\{sign}": sign for sign in "&%$#_{}"},
    **{r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textbar{}": "|"},
    **{r"\textasciigrave{}": "`"},
    **{
        r"\textless{}": "<",
        r"\textgreater{}": ">",
        "{[}": "[",
        "{]}": "]",
        "{*}": "*",
        r"\textendash{}": "–",
        "-{}": "-",
    },
    **{r"$\pm$": "±", r"$\uparrow$": "↑", r"$\downarrow$": "↓", "$+$": "+", "$-$": "-"},
}
TOKEN = re.compile("|".join(map(re.escape, COMMANDS)) + "|.", re.DOTALL)


def plain(text: str) -> str:
    """What LaTeX prints of a text; a sign that would be a command fails."""
    read = []
    for token in TOKEN.findall(text):
        assert token in COMMANDS or token not in "\\&%$#_{}~^[]*"
        read.append(COMMANDS.get(token, token))
    return "".join(read)


@settings(deadline=None)
@given(texts | st.text("[]*\\{}$-+5.& %", min_size=1))
def test_latex_prints_the_text(text):
    assert plain(method_formats._tex(text)) == text


def test_latex_tables_are_whole(found):
    text = FORMATS["latex"](found)
    assert plain(method_formats._tex(HOSTILE)) == HOSTILE
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 4
    for columns, body in re.findall(r"\\begin\{tabular\}\{(\w+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        assert [body.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert rows
        for row in rows:
            if not row.startswith(r"\multicolumn"):
                assert len(re.split(r"(?<!\\)&", row)) == len(columns), row
    assert r"90.0 $\pm$ 6.7 & 0.0 $\pm$ 0.0 \\" in text
    assert re.search(r"^ & \$\+\$40\.0 \{\[\}\$\+\$[\d.]+, \$\+\$[\d.]+\{\]\} ?(\{\*\})? & ", text, re.MULTILINE)
    assert text.splitlines()[1].endswith("this is a comparison of objectives.")


def test_csv_has_a_row_for_every_method_and_score(found):
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](found))))
    assert len(rows) == len(list(found.cells())) == 7
    by = {(row["method"], row["score"]): row for row in rows}
    own, cell = by[HOSTILE, "belebele/sw"], found.tables[0].measures[0].rows[1].cells["sw"]
    effect = cell.comparison.effect
    numbers = {name: float(own[name]) for name in ("difference", "low", "high", "p", "adjusted_p")}
    assert numbers == {
        **{name: getattr(effect, name) for name in ("difference", "low", "high", "p")},
        "adjusted_p": cell.comparison.adjusted_p,
    }
    assert (own["test"], own["unit"], own["n"], own["baseline"], own["column"]) == ("mcnemar", "%", "20", "clo", "sw")
    assert own["verdict"] == "worse" and own["signature"] == cell.score.signature
    assert "shots (0, 5)" in by["third", "belebele/de"]["note"] and by["third", "belebele/de"]["difference"] == ""
    shown = by["A & B (published)", "belebele/de"]
    assert (shown["published"], shown["source"], shown["n"], shown["value"]) == ("yes", "t_2", "", "1.0")
    assert by[HOSTILE, "tea/x"]["value"] == ""


def test_json_is_the_record(found):
    assert json.loads(FORMATS["json"](found)) == json.loads(json.dumps(found.record()))
