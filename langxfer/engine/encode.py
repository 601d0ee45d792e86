"""From parallel examples to token ids, once, with one template.

A prompt's ids are the same in all views that share it (the tree layout needs that). A response's
ids are what follows those prompt ids in the tokenised turn; where the tokenizer merges across the
boundary, the response is tokenised by itself, which is how the model is asked at generation.
Everything that is scored ends in exactly one end-of-turn token, found by position, never by pad id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.data import AnyView, ParallelExample, Side, View
from langxfer.engine.template import Template, load_template
from langxfer.errors import RecipeError

if TYPE_CHECKING:
    from langxfer.components import Prompt
    from langxfer.recipe import Model

CHUNK = 256  # examples tokenised at a time
CUT_VERSION = 2  # raised when other things begin to be stored of examples whose responses are cut


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example.

    Attributes:
        prompts: side -> ids up to and including the generation header.
        responses: view -> ids of the answer, end of turn included; mismatched views where they are needed.
        bytes: side -> UTF-8 length of the answer's text, all of it.
        cut: views whose responses lack their end, which was beyond ``max_length``.
    """

    id: str
    prompts: dict[Side, list[int]]
    responses: dict[AnyView, list[int]]
    bytes: dict[Side, int]
    cut: frozenset[AnyView] = frozenset()

    def length(self, view: AnyView) -> int:
        return len(self.prompts[view.prompt]) + len(self.responses[view])


@dataclass(frozen=True)
class Unusable:
    """An example that cannot be used, and why."""

    row: str
    reason: str


class Encoder:
    """A tokenizer and a template, loaded from a model folder.

    Raises:
        RecipeError: the tokenizer cannot be loaded or has no EOS; when a turn is first rendered, the template is
            unusable. Plain texts need none, and base models have none.
    """

    def __init__(self, model: Model, folder: Path):
        from transformers import AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=model.trust_remote_code)
        except (OSError, ValueError, KeyError) as error:
            raise RecipeError(f"model.source {model.source}: its tokenizer cannot be loaded ({error}).") from None
        self._model, self._folder = model, folder
        self.stop_ids = self._stop_ids(folder)
        self.merged = 0  # boundaries at which the tokenizer merged prompt and response

    @cached_property
    def template(self) -> Template:
        """The template with the tokens that the tokenizer names."""
        tokens = {"bos": self.tokenizer.bos_token or "", "eos": self.tokenizer.eos_token or ""}
        template = replace(load_template(self._model, self._folder), **tokens)
        template.try_out()
        return template

    def _stop_ids(self, folder: Path) -> frozenset[int]:
        """Ids that end a turn: the tokenizer's EOS and those of the generation configuration."""
        ids = {self.tokenizer.eos_token_id}
        try:
            named = json.loads((folder / "generation_config.json").read_text()).get("eos_token_id")
        except (OSError, ValueError):
            named = None
        ids.update(named if isinstance(named, list) else [named])
        ids.discard(None)
        if not ids:
            raise RecipeError(
                "model.source: its tokenizer names no EOS token, so answers could never end. Set eos_token in it."
            )
        return frozenset(ids)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of rendered texts; the template alone decides about BOS."""
        return self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"] if texts else []

    def prompt_ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of prompts as the model is asked them."""
        return self.ids([self.template.prompt(prompt) for prompt in prompts])

    @cached_property
    def _begin(self) -> list[int]:
        """What the tokenizer puts before a plain text by itself: BOS, or nothing."""
        plain, full = (self.tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
        return full[: next((i for i in range(len(full)) if full[i : i + len(plain)] == plain), 0)]

    def plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of plain texts as the tokenizer begins them, with one BOS at the most."""
        bos = self.tokenizer.bos_token_id
        return [ids if bos is not None and ids[:1] == [bos] else [*self._begin, *ids] for ids in self.ids(texts)]

    def asked_ids(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Ids of evaluators' prompts as the model reads them.

        Raises:
            RecipeError: as ``rendered``.
        """
        turns = iter(self.ids([self.rendered(prompt) for prompt in prompts if prompt.chat]))
        plain = iter(self.plain_ids([prompt.text for prompt in prompts if not prompt.chat]))
        return [next(turns if prompt.chat else plain) for prompt in prompts]

    def rendered(self, prompt: Prompt) -> str:
        """An evaluator's prompt with the template around it, unless it is plain text.

        Raises:
            RecipeError: it has a system turn, and the template takes none.
        """
        return self.template.prompt(prompt.text, prompt.system) if prompt.chat else prompt.text

    def _control_token(self, text: str) -> str | None:
        """A control token that stands in the data as text: it would end a turn, or begin one."""
        return next((token for token in self.tokenizer.all_special_tokens if token and token in text), None)

    def encode(
        self, examples: Sequence[ParallelExample], max_length: int, too_long: str
    ) -> Iterable[tuple[Encoded | Unusable, bool]]:
        """Encode examples in order; the flag says whether responses were cut to ``max_length`` tokens."""
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            sides = [(example, side) for example in chunk for side in Side]
            views = [(example, view) for example in chunk for view in View]
            prompts = self.prompt_ids([example.turn(side).prompt for example, side in sides])
            by_side = {(example.id, side): ids for (example, side), ids in zip(sides, prompts, strict=True)}
            full = self.ids(
                [self.template.full(e.turn(v.prompt).prompt, e.turn(v.response).response) for e, v in views]
            )
            by_view = {(example.id, view): ids for (example, view), ids in zip(views, full, strict=True)}
            for example in chunk:
                own = {side: by_side[example.id, side] for side in Side}
                responses = {
                    view: self._response(example, view, own[view.prompt], by_view[example.id, view]) for view in View
                }
                yield self._checked(example, own, responses, max_length, too_long)

    def _response(self, example: ParallelExample, view: View, prompt: list[int], full: list[int]) -> list[int]:
        if full[: len(prompt)] == prompt:
            response = full[len(prompt) :]
        else:
            self.merged += 1
            turn, other = example.turn(view.prompt), example.turn(view.response)
            rest = self.template.full(turn.prompt, other.response)[len(self.template.prompt(turn.prompt)) :]
            response = self.ids([rest])[0]
        return self._ended(response)

    def _ended(self, response: list[int]) -> list[int]:
        """Exactly one end-of-turn token at the end; what a template writes after it is not scored."""
        ends = [i for i, token in enumerate(response) if token in self.stop_ids]
        if ends:
            while len(ends) > 1 and ends[-2] == ends[-1] - 1:  # a template that ends a turn twice
                ends.pop()
            return response[: ends[-1] + 1]
        eos = self.tokenizer.eos_token_id
        return [*response, eos if eos is not None else min(self.stop_ids)]

    def _checked(
        self,
        example: ParallelExample,
        prompts: dict[Side, list[int]],
        responses: dict[View, list[int]],
        max_length: int,
        too_long: str,
    ) -> tuple[Encoded | Unusable, bool]:
        for side in Side:
            turn = example.turn(side)
            token = self._control_token(turn.prompt) or self._control_token(turn.response)
            if token:
                return Unusable(example.id, f"the text holds the control token {token}"), False
        longest_prompt = max(map(len, prompts.values()))
        if longest_prompt >= max_length:
            return Unusable(example.id, "the prompt alone is longer than max_length"), False
        longest = max(len(prompts[view.prompt]) + len(ids) for view, ids in responses.items())
        if longest > max_length and too_long == "drop":
            return Unusable(example.id, "longer than max_length"), False
        kept = {view: ids[: max_length - len(prompts[view.prompt])] for view, ids in responses.items()}
        sizes = {side: len(example.turn(side).response.encode()) for side in Side}
        cut = frozenset(view for view, ids in responses.items() if len(kept[view]) < len(ids))
        return Encoded(example.id, prompts, kept, sizes, cut), bool(cut)


def save(path: Path, encoded: Sequence[Encoded]) -> None:
    """Store encoded examples: all ids in one int32 vector, lengths in another."""
    import numpy as np
    from safetensors.numpy import save_file

    lists = [ids for e in encoded for ids in (*(e.prompts[s] for s in Side), *(e.responses[v] for v in View))]
    flat = np.fromiter((token for ids in lists for token in ids), dtype=np.int32)
    tensors = {
        "ids": flat,
        "lengths": np.array([len(ids) for ids in lists], dtype=np.int32).reshape(-1, len(Side) + len(View)),
        "bytes": np.array([[e.bytes[side] for side in Side] for e in encoded], dtype=np.int32).reshape(-1, len(Side)),
        "cut": np.array([[view in e.cut for view in View] for e in encoded], dtype=np.uint8).reshape(-1, len(View)),
    }
    save_file(tensors, path, metadata={"example_ids": json.dumps([e.id for e in encoded])})


def load(path: Path) -> list[Encoded]:
    """Read what ``save`` wrote."""
    import numpy as np
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        names: list[str] = json.loads(file.metadata()["example_ids"])
        ids, lengths, sizes = (file.get_tensor(name) for name in ("ids", "lengths", "bytes"))
        cuts = _cuts(file, len(names))
    pieces = np.split(ids, np.cumsum(lengths.reshape(-1))[:-1]) if len(names) else []
    width = len(Side) + len(View)
    encoded: list[Encoded] = []
    for row, name in enumerate(names):
        own = [piece.tolist() for piece in pieces[row * width : (row + 1) * width]]
        encoded.append(_stored(name, own, sizes[row].tolist(), cuts[row]))
    return encoded


def load_lengths(path: Path) -> list[Encoded]:
    """What ``load`` gives, with ranges of the right lengths in place of the ids: enough to count, and quick."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        names: list[str] = json.loads(file.metadata()["example_ids"])
        lengths, sizes = (file.get_tensor(name).tolist() for name in ("lengths", "bytes"))
        cuts = _cuts(file, len(names))
    return [
        _stored(name, [range(n) for n in own], bytes_, cut)
        for name, own, bytes_, cut in zip(names, lengths, sizes, cuts, strict=True)
    ]


def _cuts(file: Any, n: int) -> list[list[int]]:
    """Whether each view of each example is cut. Files from before this was stored are used where none is."""
    stored = set(file.keys())
    found: list[list[int]] = file.get_tensor("cut").tolist() if "cut" in stored else [[0] * len(View)] * n
    return found


def _stored(name: str, ids: Sequence[Any], sizes: Sequence[int], cut: Sequence[int]) -> Encoded:
    """An example from its ids in stored order: prompts by side, then responses by view."""
    prompts, responses = dict(zip(Side, ids, strict=False)), dict(zip(View, ids[len(Side) :], strict=True))
    lacking = frozenset(view for view, own in zip(View, cut, strict=True) if own)
    return Encoded(name, prompts, responses, dict(zip(Side, sizes, strict=True)), lacking)
