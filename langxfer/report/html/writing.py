"""Values and templates become one file that needs nothing else, and a folder of figures beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.errors import DataError
from langxfer.report.compare_runs import compare_runs
from langxfer.report.comparison import Comparison
from langxfer.report.figures import Figure
from langxfer.report.finished import Finished, read_finished
from langxfer.report.html.methods_page import methods_page
from langxfer.report.html.page import RunPage, run_page
from langxfer.report.html.sweep_page import sweep_page
from langxfer.report.methods import ComparedRuns
from langxfer.report.recipe_differences import in_words
from langxfer.report.sweep import EXPANDED, RESULT
from langxfer.report.tables import format_score

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

REPORT = "report.html"
FIGURES = "figures"


def write_report(folder: Path | str, *others: Path | str, path: Path | str | None = None) -> Path:
    """The report of a run, an evaluation or a sweep, or of several runs beside each other.

    Args:
        folder: of one of them.
        others: more folders of runs and evaluations, to be compared with the first.
        path: of the page; ``report.html`` in the folder by default. Its figures go into a folder beside it.

    Returns:
        Where the page is.

    Raises:
        DataError: a folder is none of these, not finished, or damaged; or there are several, and no path.
    """
    if others and path is None:
        raise DataError("several runs have no folder in common: say where their report goes (-o FILE.html).")
    first = Path(folder)
    target = first / REPORT if path is None else Path(path)
    if others:
        write_methods_report(compare_runs([folder, *others]), target)
    elif (first / RESULT).is_file():
        write_sweep_report(first, target)
    elif (first / EXPANDED).is_file():
        raise DataError(f"{first}: the sweep is not finished (no {RESULT}). Go on with it by the same langxfer sweep.")
    else:
        write_run_report(read_finished(first), target)
    return target


def write_run_report(finished: Finished, path: Path, comparisons: Sequence[Comparison] | None = None) -> None:
    """The report of a run or of an evaluation; its figures go into a folder beside it.

    Args:
        finished: what is reported on.
        path: of the page.
        comparisons: those of before and after, where they are known already.
    """
    _write("run.html", {"page": run_page(finished, comparisons)}, path)


def write_methods_report(found: ComparedRuns, path: Path) -> None:
    """The report of compared runs."""
    _write("methods.html", {"page": methods_page(found)}, path)


def write_sweep_report(folder: Path, path: Path) -> None:
    """The report of a sweep, from its folder.

    Raises:
        DataError: the folder is damaged.
    """
    _write("sweep.html", {"page": sweep_page(folder)}, path)


def page_text(page: RunPage, *, alone: bool = False) -> str:
    """The page of a run or of an evaluation; ``alone`` for one that leaves the run's folder and its figures behind."""
    return _encodable(_rendered("run.html", {"page": page}, alone)[0])


def _write(template: str, values: Mapping[str, Any], path: Path) -> None:
    text, drawn = _rendered(template, values)
    path.write_text(_encodable(text), encoding="utf-8")
    folder = path.parent / (FIGURES if path.name == REPORT else f"{path.stem}-{FIGURES}")
    if drawn:
        folder.mkdir(exist_ok=True)
    for name, figure in drawn.items():
        figure.save(folder, name)


def _encodable(text: str) -> str:
    """Half a surrogate pair has no UTF-8."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _rendered(template: str, values: Mapping[str, Any], alone: bool = False) -> tuple[str, dict[str, Figure]]:
    """A page, and the figures in it by the names of their files."""
    drawn: dict[str, Figure] = {}

    def inline(figure: Figure) -> Markup:
        from markupsafe import Markup

        slug = _slug(figure.title)
        name = next(own for own in chain([slug], (f"{slug}-{number}" for number in count(2))) if own not in drawn)
        drawn[name] = figure
        return Markup(figure.inline(name))

    script, digest = _script()
    more = {"inline": inline, "script": script, "script_digest": digest, "alone": alone, "drawn": drawn}
    return _environment().get_template(template).render(values, **more), drawn


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("langxfer.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"score": format_score, "in_words": in_words}
    return made


@cache
def _script() -> tuple[Markup, str]:
    """The one script, and its digest: the page's policy lets no other run, whatever else may have got into the page."""
    from markupsafe import Markup

    source = (Path(__file__).parent / "templates" / "search.js").read_text(encoding="utf-8")
    return Markup(source), base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _slug(title: str) -> str:
    """A name for files and ids."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:48] or "figure"
