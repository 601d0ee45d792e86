"""The benchmark itself, on a tiny random model: its data, that contenders agree, what it prints. Nothing is timed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from langxfer.data import Side, View
from langxfer.engine import encode
from langxfer.engine.encode import Encoder
from langxfer.errors import DataError
from langxfer.recipe import Model
from tests.benchmarks import contest, pairs, report, training

WORDS = ("sea", "river", "bridge", "winter", "rain", "bread", "light", "stone")


def write_rows(path: Path, count: int) -> Path:
    """Made-up pairs in the format of the benchmark's data; every second answer is too short for data A."""

    def text(language: str, number: int) -> dict[str, str]:
        word = f"{WORDS[number % 8]} {language}"
        output = " ".join([word] * (20 if number % 2 else 2))
        return {"instruction": f"Say {word} {number}.", "input": "now" if number % 3 else "", "output": output}

    rows = [{"id": f"row{n}", "en": text("en", n), "de": text("de", n)} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "pairs.jsonl", 150)


@pytest.fixture
def encoder(tiny: Path) -> Encoder:
    return Encoder(Model(source=str(tiny)), tiny)


def test_data_a_has_answers_of_the_wanted_lengths(rows: Path, encoder: Encoder) -> None:
    read = pairs.read(rows)
    found = pairs.short(read, encoder, 5)
    assert [example.id for example in found] == ["row1", "row3", "row5", "row7", "row9"]
    assert all(100 <= example.bytes[side] <= 350 for example in found for side in Side)
    assert read[1].questions[Side.TARGET] == "Say river de 1.\n\nnow"
    assert read[3].questions[Side.SOURCE] == "Say winter en 3."


def test_data_b_has_prompts_and_answers_of_the_wanted_lengths(rows: Path, encoder: Encoder) -> None:
    read = pairs.read(rows)
    found = pairs.long(read, encoder, 6)
    for example in found:
        assert all(600 <= len(ids) <= 900 for ids in example.prompts.values())
        assert all(100 <= len(ids) <= 200 for ids in example.responses.values())
        assert all(example.length(view) <= 1024 for view in View)
    lengths = [len(example.prompts[Side.SOURCE]) for example in found]
    assert max(lengths) - min(lengths) > 50
    assert pairs.long(read, encoder, 6) == found
    assert len({example.id for example in found}) == 6


def test_data_that_is_missing_or_too_small_is_a_sentence(rows: Path, encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.jsonl: no such file. Name JSON lines .* with --data FILE"):
        pairs.read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="data A: 75 pairs of the wanted lengths in the file, expected 80"):
        pairs.short(pairs.read(rows), encoder, 80)
    rows.write_text('{"id": "x", "en": {}}\n')
    with pytest.raises(DataError, match=r"pairs.jsonl:1 cannot be used \(KeyError\('de'\)\)"):
        pairs.read(rows)


def test_the_search_takes_micro_batches_that_divide_its_step() -> None:
    extent = training.Extent.of(training.arguments(["--pairs", "6"]))
    assert extent.micro_batches == {"a": [1, 2, 4], "b": [1, 2, 4]}
    assert training.Extent.of(training.arguments([])).micro_batches == {"a": [1, 2, 4, 8, 16], "b": [1, 2, 4]}
    quick = training.Extent.of(training.arguments(["--quick"]))
    assert quick.steps == 1 and set(quick.pairs.values()) == {1}


def test_a_contender_answers_until_it_fails_and_then_says_why(
    encoder: Encoder, rows: Path, tiny: Path, tmp_path: Path
) -> None:
    """A process of its own, as the benchmark starts them."""
    examples = pairs.short(pairs.read(rows), encoder, 1)
    encode.save(tmp_path / "examples.safetensors", examples)
    job = contest.Job("plain", str(tmp_path), {}, str(tiny), 1, 1)
    with contest.Process(job).ready() as process:
        scores = process.ask("logps")["logps"]["row1"]
        assert {view: len(values) for view, values in scores.items()} == {
            view: len(ids) for view, ids in examples[0].responses.items()
        }
        with pytest.raises(contest.ContenderFailed, match=r"plain ended with exit status 1:(.|\n)*KeyError: 'dance'"):
            process.ask("dance")


class Scripted:
    """A contender whose steps take the scripted seconds; it keeps a diary of who worked."""

    def __init__(self, job: contest.Job, seconds: float, diary: list[str]):
        self.facts = {"memory": {"resident": 100}}
        self._kind, self._seconds, self._diary = job.kind, seconds, diary

    def ready(self) -> Scripted:
        return self

    def ask(self, do: str) -> dict[str, float]:
        self._diary.append(self._kind)
        return {"seconds": self._seconds, "peak": 150, "before": 100, "rate": 1e9}

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None: ...


def plan_of(micro_batches: list[int], compiled: bool) -> contest.Plan:
    job = contest.Job("clo", "nowhere", {}, "nowhere", 8, 1)
    return contest.Plan(job, [], 2, 1, micro_batches, compiled, 4, 1, lambda text: None)


def test_the_search_tries_every_size_and_compiles_the_best() -> None:
    seconds = {(1, False): 3.0, (2, False): 2.0, (4, False): 5.0, (2, True): 1.0}
    diary: list[str] = []

    def opened(job: contest.Job) -> Scripted:
        assert job.kind == "trl_best" and job.batch == 4
        return Scripted(job, seconds[job.micro_batch, job.compiled], diary)

    found = contest.search(plan_of([1, 2, 4], True), opened)
    assert {(one["rows"], one["compiled"]): one["seconds"] for one in found} == seconds
    assert all(one["memory_over"] == 50 for one in found)
    assert len(diary) == 3 * 2 + contest.COMPILED_WARMUP + 1
    assert contest.search(plan_of([2], False), opened) == [{"rows": 2, "compiled": False, "seconds": 0.0}]


def test_contenders_take_turns_and_warm_up_first() -> None:
    diary: list[str] = []
    plan = plan_of([2], False)
    kinds = (*contest.CONTENDERS, "plain")
    processes = {kind: Scripted(replace(plan.job, kind=kind), 1.0, diary) for kind in kinds}
    answers, rates = contest.take_turns(plan, processes, 1)
    assert diary == [*kinds] * 3
    assert {kind: len(own) for kind, own in answers.items()} == dict.fromkeys(contest.CONTENDERS, 2)
    assert len(rates) == 3


@pytest.mark.skipif(
    importlib.util.find_spec("trl") is None, reason="TRL is not installed: what langxfer is held against"
)
def test_contenders_agree_and_every_number_is_there(rows: Path, tiny: Path) -> None:
    """The whole program on one pair a step, its contenders as threads of one process, which spares four starts."""
    command = [sys.executable, "-m", "tests.benchmarks.threaded", "--quick", "--only", "a"]
    command += ["--threads", "1", "--data", str(rows), "--model", str(tiny)]
    done = subprocess.run(command, cwd=contest.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"a"')))
    own = found["a"]
    assert own["max_abs_logp_difference"] < 1e-4
    assert own["max_rel_gradient_difference"] < 1e-4
    assert report.RATIOS.keys() < own.keys()
    assert min(own[key] for key in report.RATIOS if "memory" not in key) > 0
    for key in ("seconds", "peak_memory", "memory_over"):
        assert own[key].keys() == set(contest.CONTENDERS)
        assert all(len(steps) == 1 for steps in own["steps"].values())
    assert own["memory_over"]["clo"] == own["peak_memory"]["clo"] - own["model_memory"]["resident"]["clo"]
    assert (
        own["trl"]["trl_best"]["precompute_ref_log_probs"] and not own["trl"]["trl_default"]["precompute_ref_log_probs"]
    )
    assert own["trl"]["trl_default"]["gradient_checkpointing"] and own["trl"]["trl_default"]["max_length"] == 1024
    text = report.table(found)
    assert f"{own['speedup_vs_trl_best']:.2f}" in text and "Unequal settings" in text
    assert "a: step 1 of 1: clo" in done.stderr
