"""In what runs differ: every value of their recipes, and the bytes, libraries and devices that no recipe names.

A difference in scores is one of objectives only where nothing else differs. So this is said first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langxfer.components import numbered
from langxfer.recipe_text import Path, shown
from langxfer.report.finished import Finished
from langxfer.report.made_by import MadeBy, measured_by, trained_by

ABSENT = "–"  # in place of a value that a recipe does not have
# Sections that change no score: names, demands, reports on the data, where steps are shown, speed. Nor do evaluators
# change a model, and of what they measured otherwise nothing is compared.
APART = frozenset({"title", "requires", "quality", "tracking", "compute", "evaluators"})
# Of the identity of data, what recipes say themselves; the rest stands for the bytes.
OF_THE_RECIPE = frozenset(
    {
        *("format", "fields", "source_language", "target_languages", "validation", "seed", "filters"),
        *("replies_per_prompt", "subset", "split"),
    }
)
SOURCES = ("model.source", "data.source")


@dataclass(frozen=True)
class Difference:
    """A value that is not the same in all recipes.

    Attributes:
        path: as for ``--set``; an evaluator is called by its name.
        part: the part of a recipe that it belongs to: data, objective, training, …
        values: one for each recipe, as JSON values; ABSENT where it has none.
    """

    path: str
    part: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class RecipeDifferences:
    """In what several runs differ.

    Attributes:
        names: the runs whose recipes are known.
        rows: what differs and may be the reason of a difference in scores.
        apart: what differs and changes no score.
        unadapted: names of models that are the others' before training.
        unknown: names of other models without a recipe.
        unsure: those with a recipe, of which nobody knows on what bytes and by what code they were trained.
        warnings: of other bytes under the same name, other libraries, other devices, other code in measuring.
    """

    names: tuple[str, ...]
    rows: tuple[Difference, ...]
    apart: tuple[Difference, ...]
    unadapted: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of the recipe that differ."""
        return tuple(dict.fromkeys(row.part for row in self.rows))

    @property
    def of_objectives(self) -> bool:
        """Whether what is compared are objectives: nothing else differs, as far as anything can tell."""
        return self.parts == ("objective",) and not self.unknown and not self.unsure

    @property
    def verdict(self) -> str:
        """In words."""
        sentences = [self._of_recipes()] if len(self.names) > 1 else []
        if self.unadapted:
            sentences.append(f"{_listed(self.unadapted)}: the model before training.")
        if self.unknown:
            sentences.append(
                f"{_listed(self.unknown)}: measured without a recipe, so in what the models differ is unknown, and "
                "this is NOT known to be a comparison of objectives."
            )
        if self.unsure:
            sentences.append(
                f"{_listed(self.unsure)}: the manifest of the run is lost, so whether data, model and code were the "
                "same is unknown, and this is NOT known to be a comparison of objectives."
            )
        return " ".join(sentences) or f"There is one recipe only, of {_listed(self.names)}."

    def _of_recipes(self) -> str:
        who = _listed(self.names) if self.unknown or self.unadapted else "The recipes"
        if not self.rows:
            return f"{who} differ in nothing that affects results" + (" and is known." if self.unsure else ".")
        if self.parts == ("objective",):
            known = not self.unknown and not self.unsure
            return f"{who} differ in the objective only" + (": this is a comparison of objectives." if known else ".")
        others = ", ".join(row.path for row in self.rows if row.part != "objective")
        where = " and ".join(self.parts)
        if len(self.parts) == 1:
            return f"{who} differ in {where} only ({others}): this is NOT a comparison of objectives."
        return (
            f"{who} differ in {where} ({others}): this is NOT a comparison of objectives. "
            "A difference in scores may come from any of these."
        )

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        rows, apart = (
            [{"path": r.path, "part": r.part, "values": dict(zip(self.names, r.values, strict=True))} for r in own]
            for own in (self.rows, self.apart)
        )
        return {
            "comparison_of_objectives": self.of_objectives,
            "verdict": self.verdict,
            "differences": rows,
            "differences_without_effect": apart,
            "unadapted": list(self.unadapted),
            "unknown": list(self.unknown),
            "unsure": list(self.unsure),
            "warnings": list(self.warnings),
        }


def recipe_differences(runs: Mapping[str, Finished]) -> RecipeDifferences:
    """In what runs and evaluations differ, by their names."""
    known = {name: own for name, own in runs.items() if own.recipe is not None}
    recipes = [_with_names(own.recipe) for own in known.values() if own.recipe is not None]
    found = [Difference(shown(path), _part(path), values) for path, values in _differing(recipes)]
    contents = {path: [_content(path, made_with(own)) for own in known.values()] for path in SOURCES}
    same = {path for path, own in contents.items() if None not in own and len(set(own)) == 1}
    moved = [row for row in found if row.path in same]  # the same bytes from elsewhere
    other, warnings = _other_bytes(known, found, contents)
    rows = [*(row for row in found if row.part not in APART and row not in moved), *other]
    rows += [*_other_translations(known, rows), *_other_code(known)]
    start = {made_with(own)["model"]["weights"] for own in known.values() if "model" in made_with(own)}
    unadapted = tuple(name for name, own in runs.items() if name not in known and _start(own) in start)
    return RecipeDifferences(
        names=tuple(known),
        rows=tuple(rows),
        apart=(*(row for row in found if row.part in APART), *moved),
        unadapted=unadapted,
        unknown=tuple(name for name in runs if name not in known and name not in unadapted),
        unsure=tuple(name for name, own in known.items() if not made_with(own)),
        warnings=(*warnings, *_surroundings(runs)),
    )


def made_with(finished: Finished) -> Mapping[str, Any]:
    """Of a manifest, what the model was made with; empty where that is not known."""
    return finished.manifest if finished.kind == "run" else finished.manifest.get("run") or {}


def in_words(value: Any) -> str:
    """A JSON value for a table, as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_words(own)}" for name, own in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(in_words(own) for own in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _with_names(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluators by name, so that one more at the start is not a difference in all of them."""
    evaluators = recipe["evaluators"]
    names = numbered(own["name"] for own in evaluators)
    return {**recipe, "evaluators": dict(zip(names, evaluators, strict=True))}


def _differing(values: Sequence[Any], path: Path = ()) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """The innermost paths at which the values are not all equal."""
    if all(value == values[0] for value in values):
        return
    if all(isinstance(value, Mapping) for value in values):
        for name in dict.fromkeys(name for value in values for name in value):
            yield from _differing([value.get(name, ABSENT) for value in values], (*path, name))
    elif all(isinstance(value, list) and all(isinstance(own, Mapping) for own in value) for value in values):
        for place in range(max(map(len, values))):
            yield from _differing([value[place] if place < len(value) else ABSENT for value in values], (*path, place))
    else:
        yield path, tuple(values)


def _part(path: Path) -> str:
    if path[0] != "phases":
        return str(path[0])
    return str(path[2]) if len(path) > 2 else "number of phases"


def _content(path: str, manifest: Mapping[str, Any]) -> str | None:
    """What stands for the bytes behind a source; None where it is not known."""
    if path == "model.source":
        own = {name: manifest.get("model", {}).get(name) for name in ("weights", "tokenizer")}
    else:
        identity = manifest.get("data", {}).get("identity", {})
        own = {name: value for name, value in identity.items() if name not in OF_THE_RECIPE}
    return in_words(own) if any(own.values()) else None


def _other_bytes(
    known: Mapping[str, Finished], found: Sequence[Difference], contents: Mapping[str, Sequence[str | None]]
) -> tuple[list[Difference], list[str]]:
    """Sources of one name whose contents differ: these are differences, and no recipe shows them."""
    rows, warnings = [], []
    for path, own in contents.items():
        if path in {row.path for row in found} or None in own or len(set(own)) < 2:
            continue
        part = path.partition(".")[0]
        rows.append(Difference(f"{path} (content)", part, tuple(own)))
        values = {name: str(content) for name, content in zip(known, own, strict=True)}
        warnings.append(f"{path} has the same name everywhere, but other content: {_grouped(values)}.")
    return rows, warnings


def _other_translations(known: Mapping[str, Finished], rows: Sequence[Difference]) -> Iterator[Difference]:
    """Other files, programs or versions behind a translator or a filter of one name make other data."""
    keys = tuple(_translated(made_with(own)) for own in known.values())
    explained = any(row.part in ("data", "translator") for row in rows)
    if not explained and None not in keys and len(set(keys)) > 1:
        yield Difference("translated data (content)", "data", keys)


def _translated(manifest: Mapping[str, Any]) -> str | None:
    """What stands for the data after translation and filters; None where it is not known."""
    stages = (own["key"] for own in manifest.get("stages", ()) if own["stage"] == "translate")
    key = next(stages, manifest.get("translated"))
    return None if key is None else str(key)[:12]


def _other_code(known: Mapping[str, Finished]) -> Iterator[Difference]:
    """Components of one name that are not the same code; in older manifests, plugin files of one name."""
    made = [made_with(run) for run in known.values()]
    if all("code" in own for own in made):
        code = [{f"code of {name}": own for name, own in _of_training(manifest["code"])} for manifest in made]
    else:
        code = [{f"code in {own['file']}": own["sha256"][:12] for own in m.get("plugins", ())} for m in made]
    for place in dict.fromkeys(place for own in code for place in own):
        values = tuple(own.get(place, ABSENT) for own in code)
        if len({*values} - {ABSENT}) > 1:
            yield Difference(place, "plugins", values)


def _of_training(code: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The code that made a model. What measured it is in signatures, and in warnings."""
    yield from ((name, digits) for name, digits in code.items() if not name.startswith(("evaluator ", "judge ")))


def _start(finished: Finished) -> str | None:
    """Weights of a model on which nothing was trained."""
    model = finished.manifest["model"]
    return None if model.get("trained") else model["weights"]


def _surroundings(runs: Mapping[str, Finished]) -> Iterator[str]:
    """Other libraries, other code of one name, other devices; in training or in measuring."""
    made = {name: _parts_of(trained_by(made_with(own)), made_with(own)) for name, own in runs.items() if made_with(own)}
    measured = {name: _parts_of(measured_by(own), own.manifest) for name, own in runs.items()}
    said: set[str] = set()
    for when, parts in (("made", made), ("measured", measured)):
        for part in dict.fromkeys(part for own in parts.values() for part in own):
            values = {name: own[part] for name, own in parts.items() if part in own}
            text = f"other {part}: {_grouped(values)}"
            if len(set(values.values())) > 1 and text not in said:
                said.add(text)
                yield f"The models were {when} with {text}."


def _parts_of(made: Sequence[MadeBy], manifest: Mapping[str, Any]) -> dict[str, str]:
    """By what people call it, a version, a device or what stands for code; several where stages were made apart."""
    names = dict.fromkeys(name for own in made for name in own.versions)
    found = {f"versions of {name}": [own.versions[name] for own in made if name in own.versions] for name in names}
    found |= {f"code of {name}": [digits] for name, digits in manifest.get("code", {}).items()}
    if "code" not in manifest:
        found |= {f"code in {own['file']}": [own["sha256"][:12]] for own in manifest.get("plugins", ())}
    found["devices"] = [own.hardware["device"] for own in made]
    return {name: ", then ".join(dict.fromkeys(own)) for name, own in found.items()}


def _grouped(values: Mapping[str, str]) -> str:
    """``2.7 (a, b), 2.8 (c)``."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    return ", ".join(f"{value} ({', '.join(own)})" for value, own in names.items())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
