"""A judge on this machine: a chat model that transformers runs."""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from langxfer.components import Contest, Judge, OpenJudge, Verdict
from langxfer.errors import RecipeError
from langxfer.translation.checkpoint import Checkpoint
from langxfer.verdicts import LIKELIEST, UNREADABLE, read_ranking, weigh

if TYPE_CHECKING:
    from torch import Tensor

WARMER = 0.7  # temperature at which a contest without a verdict is judged again
TOO_LONG = Verdict(None, "too long for the judge")


class Local(Judge):
    """A causal language model with a chat template, one contest at a time, on the device of the evaluation.

    ``weighted`` verdicts come from the probabilities of both labels in the place of the answer: ``p(second) / (p(first)
    + p(second))``. One of them must be among the five likeliest tokens, or the model did not answer. ``discrete`` ones
    are generated, greedily, as JSON; what is no such JSON is generated again at a temperature of 0.7. A template that
    can let the model think first (``enable_thinking``) is told not to, as the label or the JSON must come at once.

    What is judged is tokenised without control tokens, so that no answer can end its turn. The model is loaded for the
    first contest that has no verdict yet, and freed at the end.
    """

    results_version: ClassVar[int] = 2
    repeats: ClassVar[bool] = True  # noise too is a function of the contest

    name: Literal["local"] = "local"
    model: str = Field(min_length=1, description="Hub id (org/name), or local folder in transformers format.")
    revision: str | None = Field(None, description="Hub revision; a branch is resolved to its commit.")
    verdicts: Literal["weighted", "discrete"] = Field(
        "weighted", description="From the probabilities of both labels, or a ranking that is generated."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Of the weights; auto: float32 on a CPU, else bfloat16."
    )
    max_new_tokens: int = Field(100, ge=1, description="Longest generated ranking, in tokens.")

    @property
    def answers(self) -> Literal["ranking", "label"]:
        return "label" if self.verdicts == "weighted" else "ranking"

    def identity(self) -> dict[str, Any]:
        """The model as digest or commit, so that neither its path nor a branch's name counts.

        Raises:
            RecipeError: there is no such model, or no way to ask.
        """
        return {**self._checkpoint().identity(), "transformers": version("transformers")}

    def resolve(self, folder: Path) -> Local:
        """A relative model folder is taken from the recipe's folder, where it exists there."""
        here = folder / self.model
        if Path(self.model).is_absolute() or not here.is_dir():
            return self
        return self.model_copy(update={"model": str(here.resolve())})

    def on(self, device: str) -> Local:
        """With the precision that ``auto`` has there, as it changes verdicts."""
        if self.dtype != "auto":
            return self
        return self.model_copy(update={"dtype": "float32" if device == "cpu" else "bfloat16"})

    @contextmanager
    def open(self, device: str, cache: Path | None) -> Iterator[OpenJudge]:
        """The model, loaded; freed at the end.

        Raises:
            RecipeError: it cannot be loaded, has no chat template, or no token of its own for each label.
        """
        opened = _OpenLocal(self, self._checkpoint().folder(), device)
        try:
            yield opened
        finally:
            opened.free()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.model, self.revision, "judge")


class _OpenLocal:
    def __init__(self, judge: Local, folder: Path, device: str):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # the evaluation has its own
        self._judge, self._device = judge, device
        dtype = judge.on(device).dtype
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RecipeError(f"judge.model {judge.model}: cannot be loaded ({reason}).") from None
        if not self._tokenizer.chat_template:
            raise RecipeError(
                f"judge.model {judge.model} has no chat template, so it cannot be asked. Use a chat model."
            )
        self._model = model.requires_grad_(False).eval().to(device)
        self._window: int = getattr(model.config, "max_position_embeddings", None) or 1 << 30
        self._counts = {"judged": 0, "input_tokens": 0, "output_tokens": 0}
        self._tries: Counter[Contest] = Counter()
        self._weighed: dict[Contest, Verdict] = {}
        self._label_ids: dict[str, list[int]] = {}

    def judge(self, contests: Sequence[Contest]) -> list[Verdict]:
        """A verdict for each contest, in order.

        Raises:
            RecipeError: weighted, and the tokenizer has no token of its own for each label.
        """
        if self._judge.verdicts == "discrete":
            return [self._read(contest, 0.0) for contest in contests]
        for contest in contests:
            self._weighed[contest] = self._weighted(contest)
        return [self._weighed[contest] for contest in contests]

    def judge_again(self, contests: Sequence[Contest]) -> list[Verdict]:
        """Rankings are sampled; probabilities stay what they were, so that there is still no verdict."""
        if self._judge.verdicts == "weighted":
            return [self._weighed[contest] for contest in contests]
        return [self._read(contest, WARMER) for contest in contests]

    def usage(self) -> dict[str, float]:
        """Contests that were shown to the model, and tokens."""
        return dict(self._counts)

    def free(self) -> None:
        """Give the model's memory back."""
        import torch

        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _weighted(self, contest: Contest) -> Verdict:
        ids, sets = self._ids(contest), self._sets(contest.labels)
        if len(ids) > self._window:
            return TOO_LONG
        import torch

        with torch.no_grad():
            logits = self._model(input_ids=self._tensor(ids), logits_to_keep=1).logits[0, -1]
        logps = torch.log_softmax(logits.float(), -1)
        if not set(logps.topk(LIKELIEST).indices.tolist()) & {own for ids in sets.values() for own in ids}:
            return Verdict(None, "no label")
        return weigh(
            {label: torch.logsumexp(logps[own], 0).item() for label, own in sets.items()},
            contest.labels,
        )

    def _read(self, contest: Contest, temperature: float) -> Verdict:
        """The ranking that the model writes; noise is a function of the contest and of how often it was judged."""
        import torch
        from transformers import GenerationConfig

        ids = self._ids(contest)
        if len(ids) + self._judge.max_new_tokens > self._window:
            return TOO_LONG
        ends = self._model.generation_config.eos_token_id
        config = GenerationConfig(
            max_new_tokens=self._judge.max_new_tokens,
            do_sample=temperature > 0,
            eos_token_id=self._tokenizer.eos_token_id if ends is None else ends,
            pad_token_id=self._tokenizer.pad_token_id,
            **({"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}),
        )
        seed = hashlib.sha256(repr((contest.messages, self._tries[contest])).encode("utf-8", "replace")).digest()
        devices = [self._device] if self._device != "cpu" else []
        self._tries[contest] += 1
        inputs = self._tensor(ids)
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(int.from_bytes(seed[:7], "big"))
            out = self._model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)
        made = out[0, len(ids) :]
        self._counts["output_tokens"] += len(made)
        verdict = read_ranking(self._tokenizer.decode(made, skip_special_tokens=True), contest.labels)
        return verdict if verdict.preference is not None else UNREADABLE

    def _ids(self, contest: Contest) -> list[int]:
        """Token ids of the conversation, up to where the answer begins; no message has control tokens in it."""
        texts = [text for _, text in contest.messages]
        marks = [f"\ue000{number}\ue001" for number in range(len(texts))]
        rendered = self._rendered([role for role, _ in contest.messages], marks)
        ids: list[int] = []
        for mark, text in zip(marks, texts, strict=True):
            before, found, rendered = rendered.partition(mark)
            if not found:
                raise RecipeError(f"judge.model {self._judge.model}: its chat template leaves out a message.")
            ids += self._encoded(before, False) + self._encoded(text, True)
        ids += self._encoded(rendered, False)
        self._counts["judged"] += 1
        self._counts["input_tokens"] += len(ids)
        return ids

    def _rendered(self, roles: Sequence[str], contents: Sequence[str]) -> str:
        """The conversation by the model's template; one that knows no system turn gets it before the user's words."""
        turns = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]
        joined = [{"role": "user", "content": "\n\n".join(contents)}]
        for conversation in (turns, joined):
            try:
                text = self._tokenizer.apply_chat_template(
                    conversation, tokenize=False, add_generation_prompt=True, enable_thinking=False
                )
            except Exception:  # templates raise jinja2's errors, or whatever their expressions raise
                continue
            if all(content in text for content in contents):
                return str(text)
        raise RecipeError(f"judge.model {self._judge.model}: its chat template cannot show the judge's prompt.")

    def _encoded(self, text: str, is_data: bool) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=is_data)["input_ids"])

    def _sets(self, labels: tuple[str, str]) -> Mapping[str, list[int]]:
        """The tokens that are a label, with a space before it or without."""
        if not self._label_ids:
            for label in labels:
                spelled = [self._encoded(text, True) for text in (label, f" {label}")]
                self._label_ids[label] = sorted({ids[0] for ids in spelled if len(ids) == 1})
            first, second = (set(self._label_ids[label]) for label in labels)
            if not first or not second or first & second:
                raise RecipeError(
                    f"judge.model {self._judge.model}: its tokenizer has no token of its own for each of the labels "
                    f"{' and '.join(labels)}. Use verdicts: discrete."
                )
        return self._label_ids

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        import torch

        return torch.tensor([list(ids)], device=self._device)
