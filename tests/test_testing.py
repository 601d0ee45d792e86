"""The kit for plugin authors: what is right passes, and every kind of mistake is named."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import langxfer.testing.fakes
from langxfer import plugins
from langxfer.builtin.evaluators.held_out import HeldOut
from langxfer.builtin.filters import Identical
from langxfer.builtin.selectors import AttentionSelector, FullSelector
from langxfer.components import (
    Drop,
    Evaluation,
    Evaluator,
    Evidence,
    Filter,
    Pair,
    Prompt,
    Sampling,
    Score,
    Selector,
    Translator,
)
from langxfer.data import ParallelExample, Side, View
from langxfer.errors import DataError
from langxfer.testing import (
    FakeTranslator,
    check_evaluator,
    check_filter,
    check_selector,
    check_translator,
    parallel_examples,
    tiny_model,
)


class Broken(Translator):
    name: Literal["broken"] = "broken"
    fault: str = ""

    def languages(self) -> frozenset[str] | None:
        return frozenset({"en", "de"})

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[Broken]:
        yield self

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Any]:
        if self.fault == "merges":
            return list(dict.fromkeys(segments))
        if self.fault == "sorts":
            return sorted(segments)
        if self.fault == "invents":
            return [text.strip() or "Thank you." for text in segments]
        return [7 for _ in segments] if self.fault == "numbers" else list(segments)


def test_check_translator() -> None:
    check_translator(FakeTranslator(), Pair("en", "sw"))
    check_translator(FakeTranslator(speaks=("en", "yo"), missing="planet"))
    check_translator(Broken())
    with pytest.raises(AssertionError, match="give check_translator a pair"):
        check_translator(FakeTranslator())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("merges", "4 translations of 5"),
        ("sorts", "another order"),
        ("invents", "blank segments"),
        ("numbers", "no translation"),
    ],
)
def test_faults_of_translators(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_translator(Broken(fault=fault))


class Picks(Selector):
    name: Literal["picks"] = "picks"
    fault: str = ""

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        names = {"nothing": [], "invented": ["model.bogus"], "first": list(shapes)[:1]}.get(self.fault, list(shapes))
        return list(names) if self.fault == "list" else frozenset(names)


def test_check_selector() -> None:
    for selector in (FullSelector(), AttentionSelector(), AttentionSelector(biases=False), Picks()):
        check_selector(selector)
    for fault, message in {
        "nothing": "chooses nothing",
        "invented": "model.bogus",
        "first": "order of parameters",
        "list": "expected a frozenset",
    }.items():
        with pytest.raises(AssertionError, match=message):
            check_selector(Picks(fault=fault))


class Adds(Selector):
    """Adds a bias, zero at the start, to the down projections of a Llama; wrong in one way each."""

    name: Literal["adds"] = "adds"
    fault: str = ""

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        return frozenset(name for name in shapes if name.endswith("down_proj.bias"))

    def adapted(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        width = {"told": 3}.get(self.fault)
        own = {name: shape for name, shape in shapes.items() if name.endswith("down_proj.weight")}
        return {**shapes, **{name.replace("weight", "bias"): (width or shape[0],) for name, shape in own.items()}}

    def adapt(self, network: torch.nn.Module, seed: int) -> None:
        state = torch.get_rng_state()
        for name, module in network.named_modules():
            if name.endswith("down_proj"):
                drawn = torch.randn(module.weight.shape[0])
                module.bias = torch.nn.Parameter(drawn if self.fault == "shifts" else 0 * drawn)
                module.spare = torch.nn.Parameter(drawn) if self.fault == "draws" else None
        if self.fault != "moves":
            torch.set_rng_state(state)

    def finished(self, network: Any, parameters: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        if self.fault == "keeps":
            return parameters
        weights = {name.replace("bias", "weight"): name for name in parameters}
        own = dict(network.named_parameters())
        return {weight: own[weight] for weight in weights}  # a bias cannot be merged into a matrix


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("moves", "moves torch's own random generator"),
        ("shifts", "changes the model's outputs"),
        ("draws", "other parameters when it is asked again with the same seed"),
        ("told", "adapted tells other parameters than adapt makes"),
        ("keeps", "down_proj.bias, which the plain model does not have"),
        ("", "a model with other outputs"),
    ],
)
def test_faults_of_selectors_that_add_parameters(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_selector(Adds(fault=fault))


class Judges(Filter):
    name: Literal["judges"] = "judges"
    fault: str = ""

    def judge(self, example: ParallelExample) -> Any:
        text = example.turn(Side.TARGET).response
        if self.fault == "bool":
            return True
        if self.fault == "divides":
            return Drop("long", len(text) / len(example.source.response or "x") if text else float("nan"))
        if self.fault == "data" and len(text) > 90:
            return Drop(f"too long: {text}", 1.0)
        return None


def test_check_filter() -> None:
    check_filter(Identical(texts="either"), parallel_examples(2))
    check_filter(Judges())
    for fault, message in {"bool": "expected Drop or None", "divides": "measure is nan", "data": "short line"}.items():
        with pytest.raises(AssertionError, match=message):
            check_filter(Judges(fault=fault))


class Counts(Evaluator):
    name: Literal["counts"] = "counts"
    fault: str = ""

    def prompts(self, examples: Sequence[ParallelExample]) -> Iterable[Prompt]:
        for number, example in enumerate(examples):
            yield Prompt("same" if self.fault == "ids" else str(number), example.source.prompt, "en")

    def scored_views(self) -> frozenset[View]:
        return frozenset({View.TT})

    def sampling(self) -> Sampling:
        return Sampling(0 if self.fault == "sampling" else 8)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        if not evidence.examples and self.fault != "divides":
            raise DataError("no examples")
        mean = sum(len(answer.text) for answer in evidence.generations) / len(evidence.generations)
        assert all(set(scores) == {View.TT} for scores in evidence.responses.values())
        score = Score("length", mean, None, len(evidence.generations), "v1")
        rows: list[dict[str, Any]] = [{"id": answer.prompt.id} for answer in evidence.generations]
        if self.fault == "signature":
            score = replace(score, signature="")
        if self.fault == "nan":
            score = replace(score, value=float("nan"))
        if self.fault == "rows":
            rows.append({"view": object()})
        if self.fault == "no id":
            rows.append({"language": "en"})
        if self.fault == "repeated":
            rows.append(rows[0])
        return Evaluation([score, score] if self.fault == "twice" else [score], rows)


def test_check_evaluator() -> None:
    for evaluator in (Counts(), HeldOut()):
        check_evaluator(evaluator)
    for fault, message in {
        "ids": "same id",
        "sampling": "sampling gives",
        "signature": "no signature",
        "nan": "value, which is nan",
        "rows": "not JSON",
        "no id": r"evaluate gives rows\[\d+\] without an id",
        "repeated": "two rows have the id and language",
        "twice": "occur twice",
    }.items():
        with pytest.raises(AssertionError, match=message):
            check_evaluator(Counts(fault=fault))
    with pytest.raises(ZeroDivisionError):
        check_evaluator(Counts(fault="divides"))


def test_fake_translator_is_reversible() -> None:
    with FakeTranslator(missing="code").open("cpu", Path()) as opened:
        text = "The quick brown Fox, 42 — ünïcode."
        there = opened.translate([text.replace("code", "")], Pair("en", "ko"))
        assert there[0] not in (None, text.replace("code", ""))
        assert opened.translate([str(there[0])], Pair("ko", "en")) == [text.replace("code", "")]
        assert opened.translate([text, "a"], Pair("en", "ko"))[0] is None
    for example in parallel_examples(5, "en", "sw"):
        with FakeTranslator().open("cpu", Path()) as opened:
            assert opened.translate([example.source.prompt], Pair("en", "sw")) == [example.target.prompt]
        assert example.target.language == "sw"


def test_the_fake_translator_is_a_plugin() -> None:
    catalog = plugins.load([Path(langxfer.testing.fakes.__file__)])
    assert "fake" in catalog.classes("translator")


def test_tiny_model_is_a_function_of_its_arguments(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first, second = tiny_model(tmp_path / "a"), tiny_model(tmp_path / "b")
    other = tiny_model(tmp_path / "c", seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_tiny_model_options(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tiny_model(tmp_path, "gpt2", layers=1, template=None, merges=("th", "the"), pad="</s>", hidden_size=16)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert (network.config.n_layer, network.config.n_embd, network.config.model_type) == (1, 16, "gpt2")
    assert tokenizer.chat_template is None
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    ids = tokenizer("the thé").input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.convert_ids_to_tokens(ids)[1:4] == ["the", "Ġ", "th"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the thé"


def test_the_kit_imports_no_heavy_library() -> None:
    code = (
        "import sys, langxfer.testing; print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
