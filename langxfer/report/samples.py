"""Answers before and after, side by side, as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from langxfer.data import read_jsonl

if TYPE_CHECKING:
    from langxfer.engine.run import Run

PER_LANGUAGE = 12
# What Markdown reads as more than a letter; an underscore within a word is one.
SIGNS = re.compile(r"[\\\[\]`*~]|!(?=\[)|(?<![^\W_])_|_(?![^\W_])")
ADDRESS = re.compile(r"(?i)\b(?:https?|ftp):(?=//)|\bwww\.")  # becomes a link without being marked as one


def samples_page(run: Run, generations: Path) -> str:
    """A table per language with prompt, answer before and answer after; all answers are in ``generations``."""
    lines = [f"# {cell(run.recipe.title)}: answers before and after", ""]
    for name in run.after:
        before, after = (_answers(generations / f"{name}.{when}.generations.jsonl") for when in ("before", "after"))
        for language in dict.fromkeys(row["language"] for row in after.values()):
            own = [key for key, row in after.items() if row["language"] == language][:PER_LANGUAGE]
            lines += [f"## {name}: prompts in {cell(language)}", "", "| prompt | before | after |", "|---|---|---|"]
            for key in own:
                old = before.get(key, {}).get("answer", "")
                lines.append(f"| {cell(after[key]['prompt'])} | {cell(old)} | {cell(after[key]['answer'])} |")
            lines.append("")
    if len(lines) == 2:
        lines.append("No evaluator of this recipe asked for answers.")
    return "\n".join(lines) + "\n"


def cell(text: str, limit: int = 400) -> str:
    """Text that stays text in a Markdown table cell: no row, no HTML, no picture or link that a reader would load."""
    short = text if len(text) <= limit else text[: limit - 1] + "…"
    short = SIGNS.sub(r"\\\g<0>", short)
    for old, new in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\r", ""), ("\n", "<br>")):
        short = short.replace(old, new)
    return ADDRESS.sub(lambda found: found[0][:-1] + f"&#{ord(found[0][-1])};", short) or "*(empty)*"


def _answers(path: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in read_jsonl(path)} if path.is_file() else {}
