"""The projections of self-attention among a model's parameters, and what is known of training them alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langxfer.builtin.parts import EVERY_PROJECTION, PROJECTIONS, Projection, generic, inside_attention
from langxfer.errors import RecipeError
from langxfer.languages import Language, language


def projection_parameters(selector: str, wanted: Sequence[Projection], names: Iterable[str]) -> frozenset[str]:
    """The weights and biases of the wanted projections, out of all parameter names of a model.

    Raises:
        RecipeError: a fused projection holds wanted ones beside others, or a wanted one of a part is nowhere.
    """
    found: set[str] = set()
    missing = set(wanted) if set(wanted) != set(EVERY_PROJECTION) else set()
    for name in names:
        module, _, _ = name.rpartition(".")
        held = PROJECTIONS.get(inside_attention(module.split(".")) or "", ())
        own = set(held) & set(wanted)
        if own and own != set(held):
            raise RecipeError(
                f'selector "{selector}": projections [{", ".join(wanted)}] ask for a part of {generic(module)}, which '
                f"holds {', '.join(held)} in one matrix and cannot be split. Ask for all of these or for none."
            )
        if own:
            found.add(name)
            missing -= own
    if found and missing:
        absent = ", ".join(part for part in wanted if part in missing)
        raise RecipeError(
            f'selector "{selector}": the model has no {absent} projection of its own. It has: '
            f"{', '.join(sorted({generic(name) for name in found}))}. Remove it from projections."
        )
    return frozenset(found)


def attention_alone(languages: Sequence[str]) -> tuple[str, ...]:
    """What the CLO paper found about training attention alone for low-resource languages, if there are any.

    Table 4 (arXiv 2505.14297) compares CLO on Llama-2 with attention trained alone against CLO with all
    parameters trained, on translated AlpacaEval prompts: the share of answers that win and that lose.
    """
    low = [own for own in map(language, languages) if own.low_resource]
    if not low:
        return ()
    return (
        f"only attention is trained, and {_listed(low)} a low-resource language (arXiv 2004.09095). In the CLO paper "
        "(arXiv 2505.14297, table 4, Llama-2, AlpacaEval) attention-only training won 29.7 % and lost 69.6 % of the "
        "comparisons with training all parameters in Swahili; in Chinese (50.7 to 49.1) and Korean (52.7 to 46.4) it "
        "lost nothing. Consider to train more: selector full, pattern, or lora with modules [attention, mlp].",
    )


def _listed(languages: Sequence[Language]) -> str:
    named = " and ".join(f"{own.tag} ({own.name}, class {own.resources} of 0-5)" for own in languages)
    return f"{named} {'is' if len(languages) == 1 else 'are each'}"
