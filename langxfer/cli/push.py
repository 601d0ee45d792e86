"""The verb ``push``: a finished run as a repository of the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from langxfer.cli.options import JsonOption, RunArgument, err, out
from langxfer.cli.progress import size

if TYPE_CHECKING:
    from langxfer.engine.push import Pushed, Upload

RepositoryArgument = Annotated[str, typer.Argument(metavar="REPO_ID", help="NAMESPACE/NAME on the hub.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Really send it. Without, nothing leaves this machine.")]
PrivateOption = Annotated[
    bool,
    typer.Option(
        "--private/--public", help="Who sees a repository that is made now; one that is there stays as it is."
    ),
]
LicenceOption = Annotated[
    str | None,
    typer.Option(
        "--license",
        metavar="ID",
        help="The model's licence as the hub names it (apache-2.0), once you know it.",
        show_default=False,
    ),
]
CardOption = Annotated[
    Path | None,
    typer.Option(
        "--card", metavar="FILE", help="A card of your own, in place of the one made of the run.", show_default=False
    ),
]


def push(
    run: RunArgument,
    repository: RepositoryArgument,
    yes: YesOption = False,
    private: PrivateOption = True,
    licence: LicenceOption = None,
    card: CardOption = None,
    json_: JsonOption = False,
) -> None:
    """Publish a run on the Hugging Face hub: model, tokenizer, card, recipe, scores, report. A dry run without --yes.

    Example:  langxfer push runs/my-run-0123456789 my-name/my-model
    """
    if licence and card:
        raise typer.BadParameter("--license changes the card that is made of the run. With --card, write it there.")
    from langxfer.engine import push as pushing

    upload = pushing.prepare(run, repository, private=private, licence=licence, card=card)
    if not json_:
        _print(upload)
    pushed = pushing.push(upload) if yes else None
    if json_:
        _print_json(upload, pushed)
    elif pushed:
        for name in pushed.deleted:
            out.print(f"deleted, weights of an earlier push:  {escape(name)}", highlight=False, soft_wrap=True)
        out.print(f"pushed:  {escape(pushed.address)}", highlight=False, soft_wrap=True)
    else:
        err.print("Nothing was sent. Read the card, then push with --yes.", highlight=False)


def _print(upload: Upload) -> None:
    sizes = upload.sizes()
    out.print(escape(upload.card), highlight=False, soft_wrap=True)
    for name, own in sizes.items():
        out.print(f"{own:>15,}  {escape(name)}", highlight=False, soft_wrap=True)
    seen = "private" if upload.private else "public"
    out.print(
        f"{len(sizes)} files, {size(sum(sizes.values()))}, to the model repository {escape(upload.repository)} in one "
        f"commit. Where there is none, a {seen} one is made. In one that is there, weights of an earlier push that are "
        "not among these files (model.safetensors, its shards and their index) are deleted.",
        highlight=False,
        soft_wrap=True,
    )


def _print_json(upload: Upload, pushed: Pushed | None) -> None:
    value = {"repository": upload.repository, "private_if_new": upload.private, "files": upload.sizes()}
    done = {"commit": pushed and pushed.address, "deleted": pushed and pushed.deleted}
    print(json.dumps({**value, "card": upload.card, **done}, indent=1, ensure_ascii=False))
