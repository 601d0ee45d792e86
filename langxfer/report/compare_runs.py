"""Compares finished runs: a row for each method, a column for each language, each against one of them.

What is compared is read from folders; in what the runs differ comes first (``recipe_differences``). Two numbers are
tested only where they are of the same items, measured in the same way; all tests that are shown are corrected together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation
from langxfer.errors import DataError
from langxfer.report.comparison import check_comparable, compare_all
from langxfer.report.finished import Finished, read_finished
from langxfer.report.methods import Cell, ComparedRuns, Measure, MethodRow, MethodTable
from langxfer.report.published import Published, PublishedNumber, read_published
from langxfer.report.recipe_differences import RecipeDifferences, recipe_differences
from langxfer.report.score_names import split_name
from langxfer.report.seeds import interval_of
from langxfer.signatures import signature_parts

BEFORE = "before"  # the row of the unadapted model
NAMED = 3  # scores named in a note, before the rest is counted


def compare_runs(
    paths: Path | str | Sequence[Path | str],
    *,
    baseline: str | int | None = None,
    before: bool | None = None,
    published: Path | str | None = None,
    only: str | Sequence[str] = (),
) -> ComparedRuns:
    """Compare finished runs and evaluations, read from their folders.

    Args:
        paths: two or more folders, of ``langxfer run`` or ``langxfer evaluate``.
        baseline: the one that the others are compared with: its number from 1, its title, the name of its folder, or
            ``before``. The first by default.
        before: whether the unadapted model is a row too. By default it is if all start from the same one.
        published: a file of published numbers.
        only: a pattern of names of scores (``belebele/*``), or several; tests are corrected for what is shown.

    Raises:
        DataError: a folder cannot be used, or what was asked for is not there.
    """
    paths = (paths,) if isinstance(paths, Path | str) else paths
    check_several(paths)
    numbers = read_published(Path(published)) if published is not None else None
    found = [read_finished(Path(path)) for path in paths]
    return compare_finished(found, baseline=baseline, before=before, published=numbers, only=only)


def check_several(paths: Sequence[Path | str]) -> None:
    """See that there are two runs or recipes at least, and each once.

    Raises:
        DataError: there are not.
    """
    if len({Path(path).resolve() for path in paths}) < max(2, len(paths)):
        raise DataError(f"two or more runs are compared, each named once; found {', '.join(map(str, paths))}.")


def compare_finished(
    runs: Sequence[Finished],
    *,
    baseline: str | int | None = None,
    before: bool | None = None,
    published: Published | None = None,
    only: str | Sequence[str] = (),
) -> ComparedRuns:
    """``compare_runs`` of what was read already."""
    only = (only,) if isinstance(only, str) else only
    named = dict(zip(_names(runs), runs, strict=True))
    differences = recipe_differences(named)
    methods = {name: _chosen(own.after, only) for name, own in named.items()}
    unadapted, reasons = _before([_chosen(run.before, only) for run in runs], differences)
    if before and not unadapted:
        raise DataError(f"the model before training cannot be a row: {' '.join(reasons)}")
    if before is not False and unadapted:
        methods = {BEFORE: unadapted, **methods}
    if only and not any(methods.values()):
        raise DataError(f"no score has a name like {' or '.join(only)}; a pattern looks like belebele/*.")
    against = _baseline(baseline, named, methods)
    cells = _cells(methods, against)
    numbers = published.of(_models(runs), _targets(runs)) if published else []
    shown = [number for number in numbers if number.score in {cell.score.name for cell in cells.values()}]
    _check_units(shown, cells.values())
    notes = [*_obstacles(cells, against), *_untested(cells), *_of_evaluators(named, methods)]
    if before is None and any(own.before for own in runs):
        notes += [f"The model before training is not shown: {reason}" for reason in reasons]
    if published:
        notes += published.notes_on(shown) if shown else [_no_published(published, numbers, _models(runs))]
    return ComparedRuns(tuple(methods), against, differences, tuple(_tables(cells, shown)), tuple(notes))


def _names(runs: Sequence[Finished]) -> list[str]:
    """Titles; of those that are not unique, the names of the folders."""
    names = [run.title for run in runs]
    for other in (lambda run: run.path.resolve().name, lambda run: str(run.path.resolve())):
        taken = [BEFORE, *names]
        names = [name if taken.count(name) == 1 else other(run) for name, run in zip(names, runs, strict=True)]
    return names


def _models(runs: Sequence[Finished]) -> list[str]:
    return list(dict.fromkeys((run.recipe or run.manifest)["model"]["source"] for run in runs))


def _targets(runs: Sequence[Finished]) -> list[str]:
    return list(
        dict.fromkeys(tag for run in runs if run.recipe for tag in run.recipe["data"].get("target_languages", ()))
    )


def _chosen(evaluations: Mapping[str, Evaluation], only: Sequence[str]) -> dict[str, Evaluation]:
    """Evaluations with those of their scores that are to be shown."""
    found = {}
    for name, own in evaluations.items():
        scores = [s for s in own.scores if not only or any(fnmatchcase(s.name, pattern) for pattern in only)]
        if scores:
            found[name] = Evaluation(scores, own.rows)
    return found


def _before(
    runs: Sequence[Mapping[str, Evaluation]], differences: RecipeDifferences
) -> tuple[dict[str, Evaluation], list[str]]:
    """The scores before training that no two runs dispute, by evaluator, and why others are missing."""
    if "model" in differences.parts or differences.unknown:
        return {}, ["not all are known to start from the same model."]
    found: dict[str, dict[str, Evaluation]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for evaluator, own in (pair for run in runs for pair in run.items()):
        for score in own.scores:
            first = found.setdefault(evaluator, {}).setdefault(score.name, own)
            if first is own:
                continue
            old = next(other for other in first.scores if other.name == score.name)
            _, obstacle = _pair(Evaluation([old], first.rows), Evaluation([score], own.rows))
            if obstacle is not None:
                reasons[evaluator, score.name] = f"by {evaluator}, the measurements of it differ: {obstacle}"
    shared = {
        name: _together({score: own for score, own in scores.items() if (name, score) not in reasons})
        for name, scores in found.items()
    }
    said = list(dict.fromkeys(reasons.values())) if found else ["none of them has measured it."]
    return {name: own for name, own in shared.items() if own.scores}, said


def _together(scores: Mapping[str, Evaluation]) -> Evaluation:
    """Scores, by name, with the rows of the evaluations that they are from."""
    rows: dict[tuple[Any, Any], dict[str, Any]] = {}
    for own in {id(own): own for own in scores.values()}.values():
        for row in own.rows:
            known = rows.setdefault((row["id"], row.get("language")), dict(row))
            known["scores"] = {**row.get("scores", {}), **known.get("scores", {})}
    return Evaluation([next(s for s in own.scores if s.name == name) for name, own in scores.items()], [*rows.values()])


def check_asked(
    count: int,
    titles: Sequence[str],
    folders: Sequence[str],
    baseline: str | None,
    before: bool | None,
    published: Path | None,
) -> None:
    """See what can be seen before there are runs: the file of published numbers, and a baseline that none can be.

    Args:
        count: how many runs are compared.
        titles: of the runs.
        folders: names of their folders.
        baseline: as ``compare_runs`` takes it.
        before: likewise.
        published: likewise.

    Raises:
        DataError: it cannot be used.
    """
    if published is not None:
        read_published(published)
    numbers = [str(number) for number in range(1, count + 1)]
    rows = [BEFORE, *titles] if before is not False else titles
    if baseline is not None and baseline not in (*rows, *numbers, *folders):
        raise DataError(_no_baseline(baseline, rows, count))


def _no_baseline(wanted: str | int, names: Iterable[str], count: int) -> str:
    return f"the baseline {wanted} is none of them: {', '.join(names)}, or a number from 1 to {count}."


def _baseline(wanted: str | int | None, named: Mapping[str, Finished], methods: Mapping[str, Any]) -> str:
    if wanted is None:
        return next(iter(named))
    folders = {run.path.resolve().name: name for name, run in named.items()}
    numbers = {str(number): name for number, name in enumerate(named, 1)}
    for known in (dict(zip(methods, methods, strict=True)), folders, numbers):
        if str(wanted) in known:
            return known[str(wanted)]
    raise DataError(_no_baseline(wanted, methods, len(named)))


Place = tuple[str, str, str]  # method, evaluator, name of the score


def _cells(methods: Mapping[str, Mapping[str, Evaluation]], baseline: str) -> dict[Place, Cell]:
    """Every score of every method, compared with the baseline's where that is possible."""
    cells: dict[Place, Cell] = {}
    pairs: dict[Place, tuple[Evaluation, Evaluation]] = {}
    for method, evaluations in methods.items():
        for evaluator, own in evaluations.items():
            base = methods[baseline].get(evaluator) if method != baseline else None
            old = {score.name: score for score in base.scores} if base else {}
            for score in own.scores:
                place, interval = (method, evaluator, score.name), interval_of(score, own)
                if base is None or score.name not in old:
                    cells[place] = Cell(score, interval=interval)
                    continue
                pair, obstacle = _pair(Evaluation([old[score.name]], base.rows), Evaluation([score], own.rows))
                cells[place] = Cell(score, old[score.name], obstacle=obstacle, interval=interval)
                if obstacle is None:
                    pairs[place] = pair
    for place, comparison in zip(pairs, compare_all(list(pairs.values())), strict=True):
        cells[place] = replace(cells[place], comparison=comparison)
    return cells


def _pair(first: Evaluation, second: Evaluation) -> tuple[tuple[Evaluation, Evaluation], str | None]:
    """Two evaluations of one score as they can be compared, or why not.

    Evaluations of several languages need not have them all in common: the items that count for the score are enough.
    """
    reason = ""
    for pair in ((first, second), *(tuple(map(of, (first, second))) for of in (_of_language, _counting))):
        if pair[1].rows or not second.rows:
            try:
                check_comparable(*pair)
                return pair, None
            except DataError as error:
                reason = _reason(error)
    texts = {signature_parts(own.scores[0].signature).get("items") for own in (first, second)}
    if len(texts) == 1 and None not in texts:
        ids = [min(str(row["id"]) for row in own.rows) for own in (first, second) if own.rows]
        reason = f"the items are the same texts under other names ({' and '.join(ids)}), so they cannot be paired."
    return (first, second), reason


def _of_language(evaluation: Evaluation) -> Evaluation:
    """With the rows of the language of its one score."""
    _, column = split_name(evaluation.scores[0].name)
    return Evaluation(evaluation.scores, [row for row in evaluation.rows if row.get("language") == column])


def _counting(evaluation: Evaluation) -> Evaluation:
    """With the rows that have a value for its one score, where rows are of more than one language."""
    name = evaluation.scores[0].name
    return Evaluation(evaluation.scores, [row for row in evaluation.rows if name in row.get("scores", {})])


def _reason(error: DataError) -> str:
    """Without ``cannot compare …:``, which is said elsewhere."""
    return str(error).partition(": ")[2]


def _obstacles(cells: Mapping[Place, Cell], baseline: str) -> Iterator[str]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for (method, evaluator, name), cell in cells.items():
        if cell.obstacle:
            found.setdefault((method, evaluator, cell.obstacle), []).append(name)
    for (method, _, obstacle), names in found.items():
        yield f"{_some(names)}: {method} is not comparable with {baseline}: {obstacle}"
    own = {name for method, _, name in cells if method == baseline}
    alone = list(dict.fromkeys(name for _, _, name in cells if name not in own))
    if alone:
        yield f"{_some(alone)}: {baseline} has no such score, so there is no difference to it."


def _untested(cells: Mapping[Place, Cell]) -> Iterator[str]:
    found: dict[str, dict[str, None]] = {}
    for (_, _, name), cell in cells.items():
        if cell.comparison and cell.comparison.untested:
            found.setdefault(cell.comparison.untested, {})[name] = None
    for reason, names in found.items():
        yield f"{_some(list(names))}: the difference is shown without a test: {reason}."


def _of_evaluators(named: Mapping[str, Finished], methods: Mapping[str, Mapping[str, Evaluation]]) -> Iterator[str]:
    """What evaluators said of the scores that are shown."""
    shown = {score.name.partition("/")[0] for own in methods.values() for e in own.values() for score in e.scores}
    said = [(method, pair) for method, run in named.items() for pair in run.notes()]
    if BEFORE in methods:
        said += [(BEFORE, pair) for run in named.values() if run.kind == "run" for pair in run.notes("before")]
    found: dict[str, dict[str, None]] = {}
    for method, (evaluator, note) in said:
        if evaluator in shown:
            found.setdefault(note, {})[method] = None
    for note, names in found.items():
        yield f"{', '.join(names)}: {note}"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _check_units(numbers: Sequence[PublishedNumber], cells: Collection[Cell]) -> None:
    units = {cell.score.name: cell.score.unit for cell in cells}
    for number in numbers:
        if number.unit != units[number.score]:
            raise DataError(
                f"the published {number.score} of {number.method} is in {number.unit or 'no unit'}, and ours in "
                f"{units[number.score] or 'no unit'}. Give it in the same unit."
            )


def _no_published(published: Published, numbers: Sequence[PublishedNumber], models: Sequence[str]) -> str:
    name, model = published.path.name, " or ".join(models)
    if numbers:
        return f"None of the published numbers of {model} ({name}) is of a score that is shown."
    languages = published.languages_of(models)
    if languages:
        return f"The published numbers of {model} ({name}) are of models that were adapted to {', '.join(languages)}."
    return f"There are no published numbers of {model} in {name}."


@dataclass
class _Rows:
    """A measure while it is put together: rows by method, published ones after them."""

    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)  # column -> name of the score

    def finished(self, numbers: Sequence[PublishedNumber]) -> Iterator[MethodRow]:
        yield from (MethodRow(method, cells) for method, cells in self.rows.items())
        several = len({number.model for number in numbers}) > 1
        languages = len({number.language for number in numbers}) > 1
        published: dict[tuple[str, str], dict[str, Cell]] = {}
        columns = {name: column for column, name in self.scores.items()}
        for number in numbers:
            if number.score in columns:
                name = f"{number.method} of {number.model}" if several else number.method
                name += f", adapted to {number.language}" if languages and number.language else ""
                own = published.setdefault((f"{name} (published)", number.source), {})
                own[columns[number.score]] = Cell(score := number.as_score(), interval=interval_of(score))
        yield from (MethodRow(name, cells, source) for (name, source), cells in published.items())


def _tables(cells: Mapping[Place, Cell], numbers: Sequence[PublishedNumber]) -> Iterator[MethodTable]:
    evaluators: dict[str, dict[tuple[str, str, bool | None], _Rows]] = {}
    for (method, evaluator, name), cell in cells.items():
        measure, column = split_name(name)
        key = (measure or evaluator, cell.score.unit, cell.score.higher_is_better)
        rows = evaluators.setdefault(evaluator, {}).setdefault(key, _Rows())
        rows.rows.setdefault(method, {})[column] = cell
        rows.scores[column] = name
    for evaluator, found in evaluators.items():
        tables: dict[tuple[str, ...], list[Measure]] = {}
        for key, rows in found.items():
            tables.setdefault(tuple(rows.scores), []).append(Measure(*key, tuple(rows.finished(numbers))))
        for columns, measures in tables.items():
            yield MethodTable(evaluator, columns, tuple(measures), part=len(tables) > 1)
