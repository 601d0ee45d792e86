"""Answers before and after, side by side, as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from langxfer.data import read_jsonl

if TYPE_CHECKING:
    from langxfer.engine.run import Run

PER_LANGUAGE = 12


def samples_page(run: Run, generations: Path) -> str:
    """A table per language with prompt, answer before and answer after; all answers are in ``generations``."""
    lines = [f"# {run.recipe.title}: answers before and after", ""]
    for name in run.after:
        before, after = (_answers(generations / f"{name}.{when}.generations.jsonl") for when in ("before", "after"))
        for language in dict.fromkeys(row["language"] for row in after.values()):
            own = [key for key, row in after.items() if row["language"] == language][:PER_LANGUAGE]
            lines += [f"## {name}: prompts in {language}", "", "| prompt | before | after |", "|---|---|---|"]
            for key in own:
                old = before.get(key, {}).get("answer", "")
                lines.append(f"| {cell(after[key]['prompt'])} | {cell(old)} | {cell(after[key]['answer'])} |")
            lines.append("")
    if len(lines) == 2:
        lines.append("No evaluator of this recipe asked for answers.")
    return "\n".join(lines) + "\n"


def cell(text: str, limit: int = 400) -> str:
    """Text that cannot break out of a Markdown table cell, nor become HTML."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\r", ""), ("\n", "<br>")):
        short = short.replace(old, new)
    return short or "*(empty)*"


def _answers(path: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in read_jsonl(path)} if path.is_file() else {}
