"""The verb ``translate``: files or stdin in, files or stdout out. Data alone on stdout."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from langxfer import loading, plugins
from langxfer.cli.options import PluginOption, err
from langxfer.components import Pair
from langxfer.errors import ArtifactError, RecipeError

if TYPE_CHECKING:
    from langxfer.engine.document_files import Layout
    from langxfer.engine.quality import Report

REPORTS = (".md", ".json")

FromOption = Annotated[str, typer.Option("--from", metavar="TAG", help="Language of the input (BCP-47).")]
ToOption = Annotated[str, typer.Option("--to", metavar="TAG", help="Language to translate into.")]
TranslatorOption = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="An installed translator, or a YAML file with its name and options."),
]
InputsArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="INPUT...", help="Files; - or none is stdin.", show_default=False)
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="OUT", help="File, or folder for several inputs; without it stdout."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="An option, such as translator.beam_size=4 or quality.samples=5; may be repeated.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Literal["text", "jsonl", "tmx"] | None,
    typer.Option("--format", help="Of input and output; without it .jsonl and .tmx are known, all else is text."),
]
LinesOption = Annotated[bool, typer.Option("--lines", help="Each line of a text is a document, not the whole file.")]
FieldsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="JSON fields to translate, with commas; paths as in messages[].content. Without it instruction, input "
        "and output, as far as they are there.",
    ),
]
FailedOption = Annotated[
    Literal["empty", "keep", "drop", "error"],
    typer.Option(help="What has no translation becomes empty, keeps its source, drops its row, or stops everything."),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA where there is one.")]
ReferencesOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Human translations, laid out as the input, for chrF++ and BLEU."),
]
ReferenceFieldsOption = Annotated[
    str | None, typer.Option(metavar="NAMES", help="JSON fields of the references, where they differ.")
]
RoundTripOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Translate N texts back and compare: quality.round_trip.")
]
ReportOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the quality report there (.md or .json).")
]


def translate(
    source: FromOption,
    target: ToOption,
    translator: TranslatorOption,
    inputs: InputsArgument = None,
    output: OutputOption = None,
    set_: SetOption = None,
    format_: FormatOption = None,
    lines: LinesOption = False,
    fields: FieldsOption = None,
    failed: FailedOption = "empty",
    device: DeviceOption = "auto",
    references: ReferencesOption = None,
    reference_fields: ReferenceFieldsOption = None,
    round_trip: RoundTripOption = None,
    report: ReportOption = None,
    plugin: PluginOption = None,
) -> None:
    """Translate files: text, JSON lines (named fields; all else stays byte for byte) or TMX.

    Code, addresses and layout are kept. Results come in order, as they are made; a file is OUT.partial until it is
    complete. Kill it and run it again: nothing is translated twice.

    Example:  langxfer translate rows.jsonl -o rows.sw.jsonl --from en --to sw --translator m2m100
    """
    overrides = [*(set_ or ()), *([f"quality.round_trip={round_trip}"] if round_trip else ())]
    chosen = loading.load_translating(translator, plugins.load(plugin or ()), overrides)
    if report is not None and report.suffix not in REPORTS:
        raise RecipeError(f"--report {report}: expected a name that ends in {' or '.join(REPORTS)}.")
    from langxfer.cli.progress import RunDisplay
    from langxfer.engine.translation_files import STDIN, Request, translate_files

    request = Request(
        translating=chosen,
        pair=Pair(source, target),
        inputs=tuple(inputs or [STDIN]),
        output=output,
        layout=_layout(format_, lines),
        fields=_names(fields or ""),
        failed=failed,
        device=device,
        references=references,
        reference_fields=_names(reference_fields or ""),
    )
    with RunDisplay(err) as display:
        found = translate_files(request, display.show)
    _tell(found, report)


def _layout(format_: Literal["text", "jsonl", "tmx"] | None, lines: bool) -> Layout | None:
    if not lines:
        return format_
    if format_ in (None, "text"):
        return "lines"
    raise RecipeError(f"--lines is for text, and --format is {format_}. Remove one of them.")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _tell(found: Report, path: Path | None) -> None:
    """The short report on stderr, the long one into a file."""
    from langxfer.report.translation import summary_lines, translation_page

    for line in summary_lines(found):
        err.print(escape(line), highlight=False, soft_wrap=True)
    if path is None:
        return
    as_json = path.suffix == ".json"
    text = json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n" if as_json else translation_page(found)
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise ArtifactError(f"--report {path}: cannot write ({error.strerror}).") from None
