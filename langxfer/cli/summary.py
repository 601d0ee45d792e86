"""Tables and previews on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from langxfer.report.html.writing import REPORT
from langxfer.report.quantities import duration, quantity, size
from langxfer.report.stage_times import stage_times
from langxfer.report.tables import Row, format_score, how_compared, score_rows

if TYPE_CHECKING:
    from langxfer.engine.cost import Cost, PhaseCost
    from langxfer.engine.making import Outcome
    from langxfer.engine.plan import Outlook
    from langxfer.engine.preview import Preview
    from langxfer.engine.run import Run


def print_summary(run: Run, console: Console) -> None:
    """Scores before and after, stages with time and memory, and where everything lies."""
    scores = Table("score", "before", "after", "change", "p", "unit", "n", title=escape(run.recipe.title), box=SIMPLE)
    for column in scores.columns[1:]:
        column.no_wrap = True  # half a number says nothing
    scores.columns[0].overflow = "fold"
    for column in scores.columns[1:5]:
        column.justify = "right"
    for row in score_rows(run):
        values = format_score(row.before), format_score(row.after), _change(row), row.p
        scores.add_row(escape(row.name), *values, row.after.unit, row.n)
    if run.after:
        console.print(scores)
        console.print(how_compared(run.comparisons), highlight=False)
    stages = Table("stage", "", "time", "peak memory", title="stages", box=SIMPLE)
    seconds, peak = 0.0, 0
    for outcome in run.outcomes:
        facts = outcome.artifact.manifest["facts"]
        for name, took, most in stage_times(outcome.stage.label, facts):
            stages.add_row(
                escape(name),
                "made" if outcome.made else "found",
                duration(took) if outcome.made else f"({duration(took)})",
                "" if most is None else size(most) + _predicted(facts),
            )
        if outcome.made:
            seconds, peak = seconds + facts["seconds"], max(peak, facts["peak_memory"])
    console.print(stages)
    print_notes(run.outcomes, console)
    for outcome in run.outcomes:
        for line in _accounting(outcome.artifact.manifest["facts"]):
            console.print(f"{escape(outcome.stage.label)}: {escape(line)}", highlight=False, soft_wrap=True)
    if run.did_work:
        console.print(f"This took {duration(seconds)} and at most {size(peak)} of memory.", highlight=False)
    else:
        console.print(
            "Nothing to do: every stage was done before. Times in brackets are those of the run that made it."
        )
    console.print(f"run:    {escape(str(run.path))}", highlight=False, soft_wrap=True)
    console.print(f"model:  {escape(str(run.model))}", highlight=False, soft_wrap=True)
    console.print(f"answers before and after:  {escape(str(run.path / 'samples.md'))}", highlight=False, soft_wrap=True)
    console.print(f"report: {escape(str(run.path / REPORT))}", highlight=False, soft_wrap=True)


def print_notes(outcomes: Sequence[Outcome], console: Console) -> None:
    """What must be read beside scores that were found; what is made says its notes when it is made."""
    for outcome in outcomes:
        for note in outcome.artifact.manifest["facts"].get("notes", ()) if not outcome.made else ():
            console.print(f"{escape(outcome.stage.label)}: {escape(note)}", highlight=False, soft_wrap=True)


def _predicted(facts: Mapping[str, Any]) -> str:
    return f" (predicted {size(facts['predicted_memory'])})" if "predicted_memory" in facts else ""


def _accounting(facts: Mapping[str, Any]) -> Iterator[str]:
    """One line of tokens, FLOPs and speed for a stage that counts them."""
    found = facts.get("accounting")
    if found is None:
        return
    if "uncounted" in found:
        yield f"FLOPs not counted: {found['uncounted']}"
        return
    tokens = sum(part["tokens"] for own in found["passes"].values() for name, part in own.items() if name != "head")
    text = f"{quantity(found['flops'], 'FLOP')} on {tokens:,} tokens"
    if "flops_per_second" in found:
        text += f"; {quantity(found['flops_per_second'], 'FLOP/s')} while computing"
    if "matmul_share" in found:
        text += f", {found['matmul_share']:.0%} of that machine's matmul"
    yield text


def _change(row: Row) -> str:
    """Before to after: green or red only where the paired test shows a difference."""
    colour = {"better": "green", "worse": "red"}.get(row.comparison.verdict if row.comparison else "")
    text = escape(row.change)
    return f"[{colour}]{text}[/]" if colour else text


def summary_json(run: Run) -> dict[str, Any]:
    """The summary for programs."""
    from dataclasses import asdict

    return {
        "run": str(run.path),
        "model": str(run.model),
        "did_work": run.did_work,
        "scores": [
            {
                "name": row.after.name,
                "before": asdict(row.before) if row.before else None,
                "after": asdict(row.after),
                "comparison": row.comparison.record() if row.comparison else None,
            }
            for row in score_rows(run)
        ],
        "stages": [
            {"stage": o.stage.label, "key": o.stage.key, "made": o.made, **dict(o.artifact.manifest["facts"])}
            for o in run.outcomes
        ],
    }


def outlook_table(rows: Sequence[Outlook]) -> Table:
    """Stages of a plan with hit or miss and the reasons."""
    table = Table("stage", "key", "", "why")
    for row in rows:
        mark = "[cyan]hit[/]" if row.hit else "[yellow]miss[/]"
        table.add_row(escape(row.stage.label), row.stage.key[:10], mark, escape("\n".join(row.reasons)))
    return table


def print_cost(cost: Cost, console: Console) -> None:
    """The sentence on examples and steps, then a table of each phase's FLOPs."""
    console.print(escape(cost.sentence()))
    for warning in cost.warnings:
        console.print(f"[yellow]note[/]  {escape(warning)}", highlight=False, soft_wrap=True)
    for phase in cost.phases:
        about = "" if phase.exact else "about "
        title = f"{phase.label}: {about}{quantity(phase.flops, 'FLOP')} in all"
        if phase.least_seconds is not None:
            title += f", at least {duration(phase.least_seconds)} at the matmul rate measured here"
        if phase.memory is not None:
            title += f", about {size(phase.memory)} of memory"
        console.print(_cost_table(phase, title))
    if cost.uncounted:
        console.print(f"FLOPs not counted: {escape(cost.uncounted)}", highlight=False, soft_wrap=True)


def _cost_table(phase: PhaseCost, title: str) -> Table:
    table = Table(
        "pass", "part", "tokens", "forward", "backward", title=escape(title), title_justify="left", box=SIMPLE
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for name, account in phase.passes.items():
        for part, own in account.parts.items():
            if own.tokens:
                backward = quantity(own.backward, "FLOP") if own.backward else ""
                table.add_row(name, part, f"{own.tokens:,}", quantity(own.forward, "FLOP"), backward)
    return table


def print_preview(preview: Preview, console: Console) -> None:
    """Examples with the scored part coloured, then counts."""
    for shown in preview.shown:
        tokens = f"{len(shown.prompt)} + {len(shown.response)} tokens"
        console.print(f"[bold]{escape(shown.id)}[/]  {shown.view.value}  {tokens}", highlight=False)
        text = Text("".join(shown.prompt), style="dim")
        for number, token in enumerate(shown.response):
            text.append(token, style="green" if number % 2 else "bold green")
        console.print(text)
        console.print()
    legend = "The green part is scored, token by token in two shades; the end-of-turn token is the last one."
    console.print(legend)
    console.print(
        f"Of {preview.counted} training rows, {preview.usable} examples are usable and {preview.cut} are cut to "
        f"max_length. Longest: {preview.longest} tokens; mean response: {preview.mean_response:.1f} tokens.",
        highlight=False,
    )
    for reason, count in preview.dropped.items():
        console.print(f"dropped {count}: {escape(reason)}", highlight=False)
