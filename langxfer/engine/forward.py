"""The one forward engine: rows in, per-token log-probabilities (float32, nats) out.

Policy, reference and evaluation all go through ``Scorer.sequence_logprobs``, so that a policy equal to its reference
gives margins of zero. The body runs over rows without padding, the LM head over response positions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.data import AnyView, View
from langxfer.engine import attention as packing
from langxfer.engine.encode import Encoded
from langxfer.engine.frozen import lighten
from langxfer.engine.head import Head, Unsupported
from langxfer.engine.layout import Layout, Row, Unit, collate, micro_batches, units_of
from langxfer.engine.products import quicken

SELF_CHECK_TOLERANCE = 2e-3  # nats; layouts and heads that are wrong are off by far more
ROUNDED_TOLERANCE = 1 / 64  # of the largest logit, for the mean over a response: in 16 bits logits have few digits


class Scorer:
    """A model, its head and its layout, ready to score rows.

    Args:
        model: a transformers causal language model.
        layout: ``tree``, ``flat`` or ``padded``; ``tree`` and ``flat`` become ``padded`` for models whose attention is
            not plain.
        autocast: context of the forward pass (bfloat16 or nothing).
        notify: told in a sentence when the layout had to change.
        attention: ``auto``, ``sdpa`` or ``flex``, as in the recipe; a model loaded with ``eager`` attention keeps it.
        longest: tokens of a prompt with its response at the most, which a sliding window may hold.

    Raises:
        Unsupported: the head is of no known kind, or flex is asked for where it cannot be trained.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        notify: Callable[[str], None] = lambda message: None,
        attention: str = "auto",
        longest: int | None = None,
    ):
        self.model, self.layout, self.autocast, self._notify = model, layout, autocast, notify
        self.head = Head(model)
        self.device = next(model.parameters()).device
        reason = not_plain(model.config.get_text_config(), longest)
        if layout != "padded" and reason:
            self.layout = "padded"
            other = ", with sdpa instead of flex" if attention == "flex" else ""
            notify(
                f"compute.layout: {reason}, so rows are padded and prompts not shared "
                f"(padded instead of {layout}{other})"
            )
        if self.layout != "padded":
            self._pack(attention)
        self._shelf = lighten(model)
        quicken(model)

    def _pack(self, wanted: str) -> None:
        """The attention that understands packed rows, in place of the one that the model was loaded with."""
        packing.register()
        on_cpu = self.device.type == "cpu"
        if wanted == "auto":
            wanted = "sdpa" if on_cpu or self._no_flex() else "flex"
        if wanted == "flex" and on_cpu and any(value.requires_grad for value in self.model.parameters()):
            raise Unsupported("compute.attention: flex has no backward pass on the CPU. Use auto or sdpa")
        if self.model.config._attn_implementation != "eager":
            names = {"sdpa": packing.ROWS if on_cpu else packing.DENSE, "flex": packing.FLEX}
            self.model.set_attn_implementation(names[wanted])

    def _no_flex(self) -> bool:
        """Whether FlexAttention fails for this model on this device: it needs a compiler, and likes not all sizes."""
        config = self.model.config.get_text_config()
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        problem = packing.flex_problem(self.device, width, next(self.model.parameters()).dtype)
        if problem:
            self._notify(f"compute.attention: FlexAttention does not work here ({problem}), so sdpa is used")
        return problem is not None

    def keep_at_most(self, tokens: int) -> None:
        """Let a micro-batch with more tokens take no more memory: frozen MLPs keep less, and compute it once more."""
        self._shelf.budget = tokens

    def sequence_logprobs(self, rows: Sequence[Row]) -> list[Tensor]:
        """Per-token log-probabilities, one ``[tokens]`` tensor per branch, in row order.

        float32; float64 for a model in float64. A branch without tokens gives an empty tensor.
        """
        inputs = collate(rows, self.layout, self.device, self.multiple)
        with self.autocast():
            hidden = self.hidden(inputs.ids, inputs.positions, inputs.rows)
            scores = self.head(hidden[inputs.scored_from], inputs.targets)
        return list(scores.split([len(branch.ids) for row in rows for branch in row.branches]))

    @property
    def multiple(self) -> int:
        """What the length of a packed axis is a multiple of."""
        return packing.FLEX_BLOCK if self.model.config._attn_implementation == packing.FLEX else 1

    def hidden(self, ids: Tensor, positions: Tensor | None, rows: packing.Rows | None) -> Tensor:
        """Last hidden states ``[R * L, H]`` of ids ``[R, L]``: rows below each other, or packed ones where told so."""
        extras: dict[str, Any] = {}
        if rows is not None:
            extras = {"position_ids": positions, **self._told(rows)}
        return self.model.base_model(input_ids=ids, use_cache=False, **extras).last_hidden_state.flatten(0, 1)

    def _told(self, rows: packing.Rows) -> dict[str, Any]:
        name = self.model.config._attn_implementation
        if name in (packing.ROWS, packing.DENSE, packing.FLEX):
            return packing.told(rows)
        return {"attention_mask": packing.additive(rows.mask, next(self.model.parameters()).dtype)}

    def score(self, units: Sequence[Unit]) -> list[tuple[int, AnyView, Tensor]]:
        """``(example number, view, per-token log-probabilities)`` of every response of the units."""
        rows = [row for unit in units for row in unit.rows]
        branches = [branch for row in rows for branch in row.branches]
        return [(b.example, b.view, scores) for b, scores in zip(branches, self.sequence_logprobs(rows), strict=True)]

    def units(self, examples: Sequence[Encoded], views: Sequence[AnyView], separate: bool = True) -> list[Unit]:
        """What may be scored apart: each example, or with ``separate`` each language of its prompt."""
        return units_of(examples, views, self.layout, separate)

    def micro_batches(
        self, examples: Sequence[Encoded], views: Sequence[AnyView], budget: int, separate: bool = True
    ) -> Iterator[list[Unit]]:
        """The units of the examples in groups of at most ``budget`` tokens (one unit at the least)."""
        return micro_batches(self.units(examples, views, separate), self.layout, budget)

    @torch.no_grad()
    def self_check(self, example: Encoded) -> None:
        """Compare this engine with the model's own logits on one short example.

        Raises:
            Unsupported: they differ, so the model does something with its logits or masks that is not handled here.
        """
        short = Encoded(
            example.id,
            {side: ids[-48:] for side, ids in example.prompts.items()},
            {view: ids[:16] for view, ids in example.responses.items()},
            example.bytes,
        )
        views = [view for view in View if short.responses[view]]
        kind = type(self.model).__name__
        try:
            found = {view: scores for _, view, scores in self.score(self.units([short], views))}
        except packing.CannotPack as error:
            raise Unsupported(f"{kind} cannot be given rows without padding: {error}") from None
        for view in views:
            own, largest = self._own(short, view)
            differences = (own - found[view]).abs()
            difference = (differences.mean() if self._rounds else differences.max()).item()
            if not difference <= (ROUNDED_TOLERANCE * largest if self._rounds else SELF_CHECK_TOLERANCE):
                raise Unsupported(
                    f"log-probabilities of {kind} differ from its own logits by {difference:.3g} "
                    f"nats (layout {self.layout}); this architecture is not supported"
                )

    @property
    def _rounds(self) -> bool:
        """Whether products are in 16 bits: weights alone do not say so, as trained ones stay in float32."""
        with self.autocast():
            return torch.is_autocast_enabled(self.device.type) or self.head.weight.dtype.itemsize < 4

    def _own(self, example: Encoded, view: AnyView) -> tuple[Tensor, float]:
        """What the model's own forward pass says of one response, ``[tokens]``, and its largest logit."""
        prompt, response = example.prompts[view.prompt], example.responses[view]
        ids = torch.tensor([prompt + response], device=self.device)
        with self.autocast():
            logits = self.model(input_ids=ids, use_cache=False).logits.float()
        logits = logits[0, len(prompt) - 1 : -1]
        return torch.log_softmax(logits, -1).gather(-1, ids[0, len(prompt) :, None])[:, 0], logits.abs().max().item()


def token_counts(
    examples: Sequence[Encoded], views: Sequence[AnyView], device: Any = "cpu"
) -> Mapping[AnyView, Tensor]:
    """Response tokens by view, ``[B]`` float32."""
    return {
        view: torch.tensor([len(e.responses[view]) for e in examples], dtype=torch.float32, device=device)
        for view in views
    }


def not_plain(config: Any, longest: int | None = None) -> str | None:
    """Why the rows of a model of this configuration cannot be packed, or None when they can.

    A sliding window is no window while a prompt with its response, ``longest`` tokens at the most, fits into it.
    """
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    slides = "sliding_attention" in kinds or (window and not getattr(config, "layer_types", None))
    if kinds - {"full_attention", "sliding_attention"}:
        return f"{config.model_type} has attention layers that are not plain full attention"
    if slides and (window is None or longest is None or longest > window):
        seen = f"prompts with their responses may have {longest} tokens" if longest else "lengths are not known"
        return f"{config.model_type} has attention layers that see {window} tokens, and {seen}"
    if getattr(config, "alibi", False) or config.model_type in ("bloom", "mpt"):
        return f"{config.model_type} has position biases (ALiBi) that ignore position ids"
    return None
