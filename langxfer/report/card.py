"""The model card: what was adapted, how, from what data, and how it scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langxfer.languages import language
from langxfer.report.tables import format_score, how_compared, score_rows

if TYPE_CHECKING:
    from langxfer.engine.run import Run


def model_card(run: Run, manifest: dict[str, Any]) -> str:
    """A Markdown model card with the front matter that model hubs read."""
    recipe, data = run.recipe, run.recipe.data
    tags = [data.source_language, *data.target_languages]
    names = ", ".join(f"{language(tag).name} ({tag})" for tag in data.target_languages)
    methods = " then ".join(
        f"`{phase.objective.name}` on `{phase.selector.name}` parameters" for phase in recipe.phases
    )
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [langxfer, multilingual]",
        f"language: [{', '.join(tags)}]",
        "---",
        "",
        f"# {recipe.title}",
        "",
        f"`{recipe.model.source}` adapted to {names} with langxfer {manifest['versions']['langxfer']}: {methods}.",
        "",
        "## Data",
        "",
        f"{manifest['data']['train']} training and {manifest['data']['validation']} validation pairs from "
        f"`{_shown(data.source)}`, "
        + ("parallel as given." if recipe.translator is None else f"translated by `{recipe.translator.name}`."),
        "The licences of the base model and of the data apply to this model too: check them before you publish it.",
        "",
        "## Scores",
        "",
        "| score | before | after | change | p | unit | n |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {format_score(row.before)} | {format_score(row.after)} | {_escaped(row.change)} "
            f"| {_escaped(row.p)} | {row.after.unit} | {row.after.n} |"
            for row in score_rows(run)
        ),
        "",
        *([how_compared(run), ""] if how_compared(run) else []),
        "Values with their standard error. Signatures are in the run's `scores.json`.",
        "",
        "## Limits",
        "",
        "Scores measure what their names say and nothing else; fluent text in the right language can still be wrong. "
        "Translated training data carries its translator's errors.",
    ]
    return "\n".join(lines) + "\n"


def _shown(source: str) -> str:
    """A data source without the folders of the machine it was on."""
    return source.rsplit("/", 1)[-1] if source.startswith("/") else source


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")
