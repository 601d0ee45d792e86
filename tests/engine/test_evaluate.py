"""All evaluators' requests in one pass of one loaded model; what was answered once is not asked again."""

from __future__ import annotations

import json
import weakref
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from langxfer.components import (
    Evaluation,
    Evaluator,
    Evidence,
    Generation,
    Passage,
    Prompt,
    Question,
    Sampling,
    Score,
)
from langxfer.data import Side, View
from langxfer.engine import encode, plan, weights
from langxfer.engine.answer_cache import FILE, AnswerCache
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.evaluate import GENERATIONS, Evaluations, Task, Validation
from langxfer.engine.generate import generate
from langxfer.engine.making import Maker
from langxfer.engine.runtime import Runtime
from langxfer.engine.store import Store
from langxfer.engine.subject import Subject
from langxfer.errors import PluginError, RecipeError
from langxfer.events import Event, Notice, Progress
from langxfer.recipe import Compute, Model
from langxfer.testing import parallel_examples

seen: dict[str, Evidence] = {}  # by name of the evaluator


class Asker(Evaluator):
    """Asks for what its options say, and remembers the evidence."""

    name: Literal["asker"] = "asker"
    label: str = "a"
    texts: tuple[str, ...] = ()
    system: str | None = None
    new_tokens: int = 6
    temperature: float = 0.0
    seed: int = 0
    attempts: int = 1
    step: int = 1
    contexts: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    views: tuple[View, ...] = ()
    unfinished: str | None = None

    def prompts(self, examples: Sequence[Any]) -> list[Prompt]:
        return [Prompt(f"p{number}", text, "en", self.system) for number, text in enumerate(self.texts)]

    def sampling(self) -> Sampling:
        return Sampling(self.new_tokens, self.temperature, seed=self.seed)

    def ask_again(self, generations: Sequence[Generation]) -> list[Prompt]:
        rounds = Counter(own.prompt.id for own in generations)
        last = {own.prompt.id: own.prompt for own in generations}
        return [
            replace(prompt, attempt=prompt.attempt + self.step)
            for prompt in last.values()
            if rounds[prompt.id] < self.attempts and prompt.id != "p0"
        ]

    def questions(self, examples: Sequence[Any]) -> list[Question]:
        return [Question(f"q{number}", text, (" A", " B")) for number, text in enumerate(self.contexts)]

    def passages(self, examples: Sequence[Any]) -> list[Passage]:
        return [Passage(f"t{number}", text, "en") for number, text in enumerate(self.read)]

    def scored_views(self) -> frozenset[View]:
        return frozenset(self.views)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        seen[self.label] = evidence
        evidence.progress(1, 2)
        alive = [own() is not None for own in networks]
        return Evaluation([Score("asker", float(any(alive)), None, 1, "x")], [{"id": "x"}], self.unfinished)


networks: list[weakref.ref[Any]] = []
TEXTS = ("Hi?", "What is the sea made of, and why?", "x", "Say 3 words on rain.", "Wie viele?", "why")


class Bench:
    """Evaluations of the tiny model, with a count of what it is asked."""

    def __init__(self, where: Path, folder: Path, runtime: Runtime):
        self.where, self.folder, self.runtime = where, folder, runtime
        self.events: list[Event] = []
        self.read: list[tuple[int, ...]] = []  # shape of the input of every forward pass
        self.break_at: int | None = None
        networks.clear()
        seen.clear()

    def watch(self, network: torch.nn.Module) -> torch.nn.Module:
        def before(module: Any, arguments: Any, named: Any) -> None:
            self.read.append(tuple(named["input_ids"].shape))
            if self.break_at is not None and len(self.read) > self.break_at:
                raise KeyboardInterrupt

        network.base_model.register_forward_pre_hook(before, with_kwargs=True)
        networks.append(weakref.ref(network))
        return network

    @property
    def asked(self) -> int:
        """Prompts that began to be answered: later steps of an answer read one token."""
        return sum(shape[0] for shape in self.read if shape[1] > 1)

    def run(
        self, *evaluators: Evaluator, model: str = "m", per_batch: int = 24, validation: Path | None = None
    ) -> Maker:
        compute = Compute(device="cpu", prompts_per_batch=per_batch)
        subject = Subject(Model(source=str(self.folder)), compute, 500, self.runtime, self.events.append)
        maker = Maker(self.runtime, Store(self.where), self.events.append)
        start = {"model": model, "dtype": "float32", "libraries": {}}
        tasks = [
            Task(own, plan.evaluation(f"evaluate: {own.name}", own, start, {"tokenizer": "t", "template": None}))
            for own in evaluators
        ]
        Evaluations(maker, subject, [], Validation(validation, validation), "answers").all(tasks)
        return maker


@pytest.fixture
def bench(tmp_path: Path, folder: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path / "artifacts", folder, runtime)
    load = weights.load_model
    monkeypatch.setattr(weights, "load_model", lambda *a, **k: made.watch(load(*a, **k)))
    return made


@pytest.fixture
def validation(tmp_path: Path, encoded: list[Encoded]) -> Path:
    from dataclasses import asdict

    from langxfer.data import write_jsonl

    write_jsonl(tmp_path / "validation.jsonl", map(asdict, parallel_examples(11)))
    encode.save(tmp_path / "validation.safetensors", encoded)
    return tmp_path


def plainly(folder: Path, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
    """One after the other, without cache."""
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    encoder = Encoder(Model(source=str(folder)), folder)
    return [generate(network, encoder, [prompt], sampling, 1, nullcontext)[0] for prompt in prompts]


def test_one_pass_for_all_evaluators_and_the_model_is_gone_before_they_judge(bench, validation):
    first = Asker(label="a", texts=TEXTS, contexts=("What?", "Who?"))
    second = Asker(label="b", texts=TEXTS[::-1], views=(View.SS,), contexts=("Who?",), read=("Once.",))
    third = Asker(label="c", texts=(*TEXTS[:2], "new"), seed=3)
    maker = bench.run(first, second, third, validation=validation)
    assert len(networks) == 1
    assert [outcome.made for outcome in maker.outcomes] == [True] * 3
    for outcome in maker.outcomes:  # each evaluator looked for a living model
        (score,) = (outcome.artifact.path / "scores.jsonl").read_text().splitlines()
        assert json.loads(score)["value"] == 0
    assert seen["a"].questions[1].totals == seen["b"].questions[0].totals
    assert [own.text for own in seen["a"].generations] == [own.text for own in seen["b"].generations][::-1]
    assert seen["c"].generations[:2] == seen["a"].generations[:2]
    assert seen["a"].responses == {} and list(seen["b"].responses[seen["b"].examples[0].id]) == [View.SS]
    assert seen["a"].device == "cpu" and seen["a"].cache == bench.where / "verdicts" / "asker"


def test_equal_requests_are_computed_once(bench):
    bench.run(Asker(label="a", texts=(*TEXTS, *TEXTS)), Asker(label="b", texts=TEXTS[2:]))
    assert bench.asked == len(TEXTS)
    assert len(seen["a"].generations) == 2 * len(TEXTS)
    assert [own.prompt.id for own in seen["a"].generations[6:]] == [f"p{number}" for number in range(6, 12)]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("per_batch", [1, 4, 24])
def test_answers_are_those_of_each_prompt_alone(bench, folder, temperature, per_batch):
    evaluator = Asker(texts=TEXTS, temperature=temperature, attempts=3)
    bench.run(evaluator, per_batch=per_batch)
    asked, found = bench.asked, seen["a"].generations
    attempts = [(own.prompt.id, own.prompt.attempt) for own in found]
    later = [(f"p{number}", attempt) for attempt in (1, 2) for number in range(1, 6)]
    assert attempts == [*((f"p{number}", 0) for number in range(6)), *later]
    assert found == plainly(folder, [own.prompt for own in found], evaluator.sampling())
    texts = {own.text for own in found if own.prompt.id == "p1"}
    assert len(texts) == (1 if temperature == 0 else 3)
    assert asked == (len(TEXTS) if temperature == 0 else len(found))


def test_samples_are_shared_only_where_their_noise_is_the_same(bench):
    warm = Asker(label="a", texts=TEXTS, temperature=0.9)
    bench.run(warm, Asker(label="b", texts=TEXTS, temperature=0.9), Asker(label="c", texts=TEXTS[:3], temperature=0.9))
    assert bench.asked == 6
    bench.run(Asker(label="d", texts=TEXTS, temperature=0.9, seed=1))
    assert bench.asked == 12
    moved = bench.run(Asker(label="e", texts=TEXTS[::-1], temperature=0.9))
    assert bench.asked == 18 and moved
    assert seen["a"].generations == seen["b"].generations != seen["d"].generations


def test_the_second_time_nothing_is_loaded_and_new_weights_are_asked_everything(bench, validation):
    options = {"texts": TEXTS, "contexts": ("What?",), "read": ("Once upon",), "views": tuple(View)}
    bench.run(Asker(label="a", **options), validation=validation)
    passes = len(bench.read)
    again = bench.run(Asker(label="a", **options), validation=validation)
    assert not again.outcomes[0].made
    other = bench.run(Asker(label="b", **options), validation=validation)  # another stage, the same requests
    assert other.outcomes[0].made
    assert (len(networks), len(bench.read)) == (1, passes)
    assert seen["a"].generations == seen["b"].generations and seen["a"].responses == seen["b"].responses
    assert (seen["a"].questions, seen["a"].passages) == (seen["b"].questions, seen["b"].passages)
    bench.run(Asker(label="c", **options), validation=validation, model="trained")
    assert (len(networks), len(bench.read)) == (2, 2 * passes)


def test_scored_views_are_scored_once_and_as_the_reference_does(bench, validation, encoded, references):
    bench.run(Asker(label="a", views=(View.SS,)), Asker(label="b", views=(View.SS, View.TT)), validation=validation)
    for example in encoded:
        for view in (View.SS, View.TT):
            found = seen["b"].responses[example.id][view]
            assert found.total == pytest.approx(references[example.id][view].double().sum().item(), abs=1e-3)
            assert (found.tokens, found.bytes) == (len(example.responses[view]), example.bytes[view.response])
            assert not found.cut
    passes = len(bench.read)
    bench.run(Asker(label="c", views=(View.TT,)), validation=validation)
    assert len(bench.read) == passes


def test_evaluators_are_told_which_responses_were_cut(bench, validation, folder):
    encoder, examples = Encoder(Model(source=str(folder)), folder), parallel_examples(11)
    limit = max(len(ids) for ids in encoder.prompt_ids([e.turn(s).prompt for e in examples for s in Side])) + 8
    cut = [item for item, _ in encoder.encode(examples, limit, "cut") if isinstance(item, Encoded)]
    encode.save(validation / "validation.safetensors", cut)
    bench.run(Asker(label="a", views=tuple(View)), validation=validation)
    found = {(name, view) for name, own in seen["a"].responses.items() for view, score in own.items() if score.cut}
    assert found == {(item.id, view) for item in cut for view in item.cut} != set()


def test_stopped_midway_it_keeps_every_finished_batch(bench):
    bench.break_at = 14  # two batches of six steps, and something of the third
    with pytest.raises(KeyboardInterrupt):
        bench.run(Asker(texts=TEXTS), per_batch=2)
    bench.break_at = None
    asked = bench.asked
    bench.run(Asker(texts=TEXTS), per_batch=2)
    assert asked == 6 and bench.asked == asked + 2


def test_an_unfinished_evaluation_is_kept_said_and_done_again(bench):
    evaluator = Asker(texts=TEXTS, unfinished="the judge failed 3 times")
    (outcome,) = bench.run(evaluator).outcomes
    said = [event.message for event in bench.events if isinstance(event, Notice)]
    assert said == ["evaluate: asker is unfinished: the judge failed 3 times. The next run tries the rest again."]
    store = Store(bench.where)
    assert store.find("evaluate", outcome.stage.key).unfinished == "the judge failed 3 times"
    assert plan.outlook_of([outcome.stage], store)[0].reasons == ("unfinished: the judge failed 3 times",)
    passes = len(bench.read)
    again = bench.run(evaluator)
    assert again.outcomes[0].made and len(bench.read) == passes
    key = outcome.stage.key
    assert store.find("evaluate", key) is not None and not store.partial("evaluate", key).exists()


def test_progress_is_told_of_requests_and_of_the_evaluators_own_work(bench):
    bench.run(Asker(texts=TEXTS, contexts=("What?", "Who?"), read=("Once.",)), per_batch=4)
    told = [event for event in bench.events if isinstance(event, Progress)]
    assert told.pop() == Progress("evaluate: asker", 1, 2, "items")
    assert {(event.stage, event.total, event.unit) for event in told} == {("answers", 9, "requests")}
    done = [event.done for event in told]
    assert done == sorted(done) and done[-1] == 9 and 7 in done


def test_prompts_that_the_model_cannot_read_are_said(bench):
    bench.run(Asker(texts=("Hi?", "x" * 600)))
    (said,) = (event.message for event in bench.events if isinstance(event, Notice))
    assert said.startswith("evaluate: asker: 1 of 2 prompts are longer than the model can read")
    assert seen["a"].generations[1].text == ""


def test_an_attempt_that_was_made_already_is_a_fault_of_the_evaluator(bench):
    with pytest.raises(PluginError, match=r'"asker" asks prompt "p1" once more as attempt 0; expected .* above 0'):
        bench.run(Asker(texts=TEXTS, attempts=2, step=0))


def test_what_is_not_finite_is_not_kept(bench):
    with AnswerCache(bench.where / FILE, {"model": "m"}) as cache:
        assert cache.add({"a": [1.0, 2], "b": [float("nan"), 2], "c": [[0.5, float("-inf")]]}).keys() == {"a", "b", "c"}
        assert cache.find(["a", "b", "c"]) == {"a": [1.0, 2]}
        assert cache.add({"a": [7.0, 2]}) == {"a": [1.0, 2]}  # what is kept first is what all use
    with AnswerCache(bench.where / FILE, {"model": "n"}) as cache:
        assert cache.find(["a"]) == {}


def test_system_turns_reach_the_model_and_the_rows(bench, folder):
    bench.run(Asker(label="a", texts=TEXTS), Asker(label="b", texts=TEXTS, system="Answer in rhymes, please."))
    assert bench.asked == 2 * len(TEXTS)
    assert [own.text for own in seen["a"].generations] != [own.text for own in seen["b"].generations]
    (path,) = [path for path in bench.where.glob(f"evaluate/*/{GENERATIONS}") if "rhymes" in path.read_text()]
    assert json.loads(path.read_text().splitlines()[0])["system"] == "Answer in rhymes, please."
    assert Encoder(Model(source=str(folder)), folder).rendered(Prompt("x", "Hi?", "en", "Be short.")) == (
        "<s><|system|>\nBe short.\n<|user|>\nHi?\n<|assistant|>\n"
    )
    encoder = Encoder(Model(source=str(folder), template="alpaca"), folder)
    with pytest.raises(RecipeError, match=r"ignores a system turn.*chatml, plain"):
        encoder.rendered(Prompt("x", "Hi?", "en", "Be short."))
    assert encoder.rendered(Prompt("x", "Hi?", "en")).startswith("<s>### Instruction:\nHi?")


class Careless(Evaluator):
    """Gives what cannot be read back."""

    name: Literal["careless"] = "careless"

    def evaluate(self, evidence: Evidence) -> Evaluation:
        return Evaluation([Score("careless", float("nan"), None, 1, "x")], [])


def test_what_cannot_be_read_back_is_not_kept(bench):
    with pytest.raises(PluginError, match=r'^evaluator "careless" gives scores\[0\] \(careless\)\.value, which is nan'):
        bench.run(Careless())
    assert not [path for path in bench.where.glob("evaluate/*/*") if path.name == "manifest.json"]
