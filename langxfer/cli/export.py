"""The verb ``export``: a run's model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from langxfer.cli.options import JsonOption, RunArgument, err, out

FormatOption = Annotated[
    Literal["safetensors", "ctranslate2"],
    typer.Option("--format", help="safetensors for transformers and vLLM, ctranslate2 for CTranslate2."),
]
FolderOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="FOLDER", help="New, empty, or an earlier export, which is replaced.")
]
DtypeOption = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="Precision of safetensors; the run's without.", show_default=False),
]
ShardOption = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Largest file of safetensors, such as 5GB.", show_default=False),
]
QuantizationOption = Annotated[
    Literal["float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"] | None,
    typer.Option(help="Precision of CTranslate2's weights; the run's without.", show_default=False),
]


def export(
    run: RunArgument,
    output: FolderOption,
    format_: FormatOption = "safetensors",
    dtype: DtypeOption = None,
    max_shard_size: ShardOption = None,
    quantization: QuantizationOption = None,
    json_: JsonOption = False,
) -> None:
    """Write a run's model for other programs, and compare its answers with those of the run's model.

    Example:  langxfer export runs/my-run-0123456789 --format ctranslate2 --quantization int8 -o my-model-ct2
    """
    from langxfer.engine.export import MANIFEST, Options
    from langxfer.engine.export import export as write

    options = Options(format_, dtype, max_shard_size, quantization)
    folder = write(run, output, options, lambda sentence: err.print(escape(sentence), highlight=False))
    if json_:
        print((folder / MANIFEST).read_text(encoding="utf-8"))
    else:
        out.print(f"export:  {escape(str(folder))}", highlight=False, soft_wrap=True)
