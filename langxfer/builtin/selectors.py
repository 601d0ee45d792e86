"""Which parameters are trained: the attention projections, as the paper does, everything, or what patterns name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, field_validator

from langxfer.builtin.layers import LayeredSelector
from langxfer.builtin.parts import EVERY_PROJECTION, NORMS, Projection, inside_attention
from langxfer.builtin.patterns import check_patterns, matching
from langxfer.builtin.projections import attention_alone, projection_parameters
from langxfer.components import Selector
from langxfer.errors import RecipeError


class AttentionSelector(LayeredSelector):
    """The query, key, value and output projections of self-attention (CLO, arXiv 2505.14297, appendix B).

    A parameter is selected when the module directly inside the innermost attention module of its name is
    one of the projections, separate (``self_attn.q_proj``) or fused (``attn.c_attn``, ``self_attn.qkv_proj``,
    ``attention.query_key_value``). ``mlp.c_proj`` or ``mlp.dense_h_to_4h`` are not inside one. Of hybrid
    models the layers with linear attention or a recurrent state stay frozen. A part of a fused projection
    is refused. With low-resource target languages there is a warning (table 4 of the paper).
    """

    name: Literal["attention"] = "attention"
    projections: tuple[Projection, ...] = Field(EVERY_PROJECTION, min_length=1, description="Which of them to train.")
    biases: bool = Field(True, description="Train the biases of the projections too, where there are any.")
    norms: bool = Field(
        False, description="Train the norms of queries and keys too (q_norm, k_norm), where there are any."
    )

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        kept = self.within(shapes)
        found = projection_parameters(self.name, self.projections, shapes)
        if not self.biases:
            found = frozenset(name for name in found if not name.endswith(".bias"))
        if self.norms:
            found |= {name for name in shapes if self._scales_a_chosen_projection(name)}
        return frozenset(filter(kept, found))

    def advice(self, languages: Sequence[str]) -> tuple[str, ...]:
        return attention_alone(languages)

    def _scales_a_chosen_projection(self, name: str) -> bool:
        scaled = NORMS.get(inside_attention(name.split(".")[:-1]) or "")
        return scaled is not None and set(scaled) <= set(self.projections)


class FullSelector(Selector):
    """Every parameter."""

    name: Literal["full"] = "full"

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        return frozenset(shapes)


class PatternSelector(LayeredSelector):
    """Parameters whose names match regular expressions (Python's ``re``), from end to end (``re.fullmatch``).

    Names are those of ``network.named_parameters()``, such as ``model.layers.0.mlp.up_proj.weight``. Each pattern
    has to match something. With ``layers``, parameters outside the decoder layers stay frozen. An output layer
    that is tied to the token embedding has no name of its own: name the embedding.
    """

    name: Literal["pattern"] = "pattern"
    patterns: tuple[str, ...] = Field(min_length=1, description="Regular expressions; one match is enough.")
    exclude: tuple[str, ...] = Field((), description="Regular expressions of names to leave out of those.")

    _patterns = field_validator("patterns", "exclude")(check_patterns)

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        kept = self.within(shapes)
        found = matching(self.name, "patterns", self.patterns, shapes)
        found -= matching(self.name, "exclude", self.exclude, found)
        chosen = frozenset(filter(kept, found))
        if found and not chosen:
            raise RecipeError(
                f'selector "{self.name}": the patterns match nothing in layers {_ranges(self.layers)}. '
                f"They match {min(found)}, for instance."
            )
        return chosen


def _ranges(layers: Sequence[Sequence[int]] | None) -> str:
    return ", ".join(str(list(pair)) for pair in layers or ())
