"""What is known of the licences of a model's parts. Nothing is decided here: an unknown licence stays unknown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langxfer.errors import RecipeError
from langxfer.report.finished import Finished
from langxfer.report.paths import shown_file

NONCOMMERCIAL = re.compile(r"(?:^|[-_ ])nc(?:$|[-_ ,])|non-?commercial", re.IGNORECASE)  # cc-by-nc-4.0
# The identifiers that the hub takes for ``license`` in a card, by family.
IDS = re.findall(
    r"\S+",
    """
    apache-2.0 mit isc zlib unlicense wtfpl ncsa postgresql ms-pl bsl-1.0 afl-3.0 artistic-2.0 ecl-2.0 osl-3.0 ofl-1.1
    bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear epl-1.0 epl-2.0 eupl-1.1 mpl-2.0 lppl-1.3c etalab-2.0
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr agpl-3.0 gfdl
    cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nd-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    odbl odc-by pddl c-uda cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 openmdw-1.0 openmdw-1.1
    openrail openrail++ bigscience-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m creativeml-openrail-m
    llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community deepfloyd-if-license apple-amlr apple-ascl
    h-research intel-research fair-noncommercial-research-license unknown other
    """,
)
UNDECIDED = ("unknown", "other")  # identifiers too, and they say nothing
# Part of a run, pattern in what the recipe says of it, and what is known of the things so named.
KNOWN = (
    ("translator", "nllb", "the checkpoints of NLLB-200 are published under CC BY-NC 4.0"),
    (
        "data",
        "alpaca",
        "Stanford Alpaca and what is made from it is published under CC BY-NC 4.0, and was written by a model of "
        "OpenAI, whose terms apply too",
    ),
)


@dataclass(frozen=True)
class Licence:
    """What the card says.

    Attributes:
        fields: for the front matter.
        sentences: for people.
    """

    fields: Mapping[str, str]
    sentences: tuple[str, ...]


def licence(run: Finished, chosen: str | None = None) -> Licence:
    """The licence that was ``chosen``; or the base model's where nothing else has a say; or none.

    Data of unknown licence has a say. Only what langxfer ships is known: it has langxfer's own licence, Apache-2.0.

    Raises:
        RecipeError: ``chosen`` is no identifier of the hub.
    """
    assert run.recipe is not None
    if chosen and chosen not in IDS:
        raise RecipeError(_no_id(chosen))
    base = run.manifest["model"].get("licence") or {}
    shipped = run.recipe["data"]["source"].startswith("langxfer:")
    hints = list(_noncommercial(run.recipe, base))
    sentences = [_of_base(base), _of_data(run.recipe, shipped), *hints]
    if chosen:
        return Licence({"license": chosen}, (f"This model: `{chosen}`.", *sentences))
    known = base.get("license")
    if known in IDS and known not in UNDECIDED and shipped and not hints:
        return Licence({"license": known}, (f"This model: `{known}`, that of the base model.", *sentences))
    undecided = "This model: not decided. The licences of the base model and of the data apply to it: check them."
    return Licence({"license": "other", "license_name": "not-decided"}, (undecided, *sentences))


def _no_id(chosen: str) -> str:
    near = difflib.get_close_matches(chosen.lower().replace(" ", "-"), IDS, 1)
    question = f" Did you mean {near[0]}?" if near else ""
    return (
        f"--license {chosen}: no licence that the hub lists has this identifier.{question} Expected one such as "
        "apache-2.0, mit, cc-by-4.0, llama3.1 or gemma; other stands for all the rest, and a card of your own (--card) "
        "can name them."
    )


def _of_base(base: Mapping[str, str]) -> str:
    if not base:
        return "Base model: no licence was found with its files; look it up where it comes from."
    name = base.get("license_name") or base.get("license")
    link = f", see {base['license_link']}" if base.get("license_link") else ""
    return f"Base model: `{name}`, says its own card{link}."


def _of_data(recipe: Mapping[str, Any], shipped: bool) -> str:
    source = shown_file(recipe["data"]["source"])
    if shipped:
        return f"Data: `{source}` is part of langxfer, Apache-2.0."
    return f"Data: the licence of `{source}` is not known to langxfer; look it up where it comes from."


def _noncommercial(recipe: Mapping[str, Any], base: Mapping[str, str]) -> Iterator[str]:
    if any(NONCOMMERCIAL.search(value) for name, value in base.items() if name != "license_link"):
        yield "NonCommercial: the licence of the base model excludes commercial use."
    told = {"translator": str(recipe["translator"]), "data": recipe["data"]["source"]}
    for part, pattern, sentence in KNOWN:
        if re.search(pattern, told[part], re.IGNORECASE):
            yield f"NonCommercial: {sentence}. Check whether that is what was used."
