"""Scores of options and texts against the model's own logits, one at a time, and against lm-eval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from langxfer.components import OptionScores, Passage, Question
from langxfer.engine.attention import DENSE, ROWS
from langxfer.engine.boundary import Boundary
from langxfer.engine.branching import common
from langxfer.engine.choices import score_questions
from langxfer.engine.encode import Encoder
from langxfer.engine.forward import Scorer
from langxfer.engine.passages import score_passages, windows
from langxfer.engine.statistics import NotFinite
from langxfer.errors import DataError
from langxfer.testing import tiny_model
from tests.engine.one_by_one import encoder_of, load, own_logits, silent

MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "sdpa", {}),
    "gpt2": ("gpt2", "sdpa", {}),
    "gemma2": ("gemma2", "eager", {"layer_types": ["full_attention"] * 2, "final_logit_softcapping": 4.0}),
    "granite": ("granite", "sdpa", {"logits_scaling": 3.0}),
    "bloom": ("bloom", "eager", {}),  # ALiBi: never packed
    "mistral": ("mistral", "sdpa", {"sliding_window": 64}),  # contexts are longer
}
PASSAGE = "Make sure that your hand is relaxed while it still hits all notes, and do not move much. "
LETTERS = (" A", " B", " C", " D")
KOREAN = ("가)", "나)", "다)", "라)")
QUESTIONS = [
    Question("letters", PASSAGE + "What is no good tip?\nAnswer:", LETTERS),
    Question("same context", PASSAGE + "What is no good tip?\nAnswer:", (" E", " A", " no idea")),
    Question("same passage", PASSAGE + "What helps?\nAnswer:", LETTERS),
    Question("korean", PASSAGE + "무엇이 도움이 됩니까?\n정답:", KOREAN),
    Question("longer context", PASSAGE + "What helps?\nAnswer: A, or", (" B", " perhaps C")),
    Question("another passage", "The sea is deep.\nIs it?\nAnswer:", (" yes", " no", " y")),
    Question("short", "x", ("y",)),
    Question("alone", "", ("The sea", " is deep")),
    Question("spaces", "The answer is  ", ("A", "B")),
    Question("turn", "Is the sea deep?", ("Yes", "No"), chat=True),
]


@pytest.fixture(scope="module")
def place_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def find(name: str) -> Path:
        architecture, _, config = MODELS[name]
        if name not in folders:
            folders[name] = tiny_model(tmp_path_factory.mktemp("model"), architecture, **config)
        return folders[name]

    return find


@pytest.fixture(scope="module")
def encoder(place_of: Callable[[str], Path]) -> Encoder:
    return encoder_of(place_of("llama"))


def expected(folder: Path, name: str, encoder: Encoder) -> list[list[float]]:
    network = load(folder, attention=MODELS[name][1])
    return [
        [own_logits(network, context, option) for option in options]
        for context, options in Boundary(encoder).encode(QUESTIONS)
    ]


def counted(scorer: Scorer) -> list[tuple[int, int, int]]:
    """Filled with (rows, tokens, scored states) of every forward pass to come."""
    seen: list[tuple[int, int, int]] = []
    hidden, head = scorer.hidden, scorer.head.continuations

    def forward(ids: torch.Tensor, *told: Any) -> torch.Tensor:
        seen.append((len(ids), ids.numel(), 0))
        return hidden(ids, *told)

    def score(states: torch.Tensor, *told: Any) -> torch.Tensor:
        seen[-1] = (*seen[-1][:2], len(states))
        return head(states, *told)

    scorer.hidden, scorer.head.continuations = forward, score  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_every_layout_gives_the_model_s_own_log_probabilities(name: str, place_of: Callable[[str], Path]) -> None:
    folder = place_of(name)
    encoder = encoder_of(folder)
    precision = 1e-9 if MODELS[name][1] == "sdpa" else 1e-5  # eager attention has its softmax in float32
    right = [pytest.approx(own, abs=precision) for own in expected(folder, name, encoder)]
    for layout in ("tree", "flat", "padded"):
        scorer = Scorer(load(folder, attention=MODELS[name][1]), layout)  # type: ignore[arg-type]
        for budget in (1, 150, 600, 10_000):
            found = score_questions(scorer, encoder, QUESTIONS, budget, silent)
            assert [score.question for score in found] == QUESTIONS
            assert [list(score.totals) for score in found] == right
            assert [list(map(len, options)) for _, options in Boundary(encoder).encode(QUESTIONS)] == [
                list(score.tokens) for score in found
            ]
    if MODELS[name][1] == "sdpa" and name in ("llama", "gpt2"):
        scorer = Scorer(load(folder), "tree")
        assert scorer.model.config._attn_implementation == ROWS
        scorer.model.set_attn_implementation(DENSE)
        found = score_questions(scorer, encoder, QUESTIONS, 600, silent)
        assert [list(score.totals) for score in found] == right


def test_a_window_that_training_fits_into_but_contexts_do_not(place_of: Callable[[str], Path]) -> None:
    """Rows are packed for training; longer contexts are padded, since then tokens must be out of sight."""
    folder = place_of("mistral")
    encoder = encoder_of(folder)
    scorer = Scorer(load(folder), "tree", longest=60)
    assert scorer.layout == "tree"
    found = score_questions(scorer, encoder, QUESTIONS, 600, silent)
    right = expected(folder, "mistral", encoder)
    assert [list(score.totals) for score in found] == [pytest.approx(own, abs=1e-9) for own in right]


def many(count: int, shared: bool) -> list[Question]:
    """Two questions to a passage of its own, or to texts that differ from their first character."""
    return [
        Question(
            f"q{n}", f"{n // 2 if shared else count + n:04d} is a passage of its own.\nQ: is it {n}?\nAnswer:", LETTERS
        )
        for n in range(count)
    ]


def test_forwards_are_counted(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    """900 contexts with options of one token: a row each, and fewer tokens with shared passages."""
    questions = [
        Question(one.id, one.context + " ", tuple("ABCD"), chat=True) for one in (*many(450, True), *many(450, False))
    ]
    lengths = [len(context) for context, _ in Boundary(encoder).encode(questions)]
    scorer = Scorer(load(place_of("llama"), torch.float32), "padded")
    seen = counted(scorer)
    padded = score_questions(scorer, encoder, questions, 2000, silent)
    assert sum(rows for rows, _, _ in seen) == sum(states for *_, states in seen) == 900
    scorer = Scorer(load(place_of("llama"), torch.float32), "tree")
    seen = counted(scorer)
    tree = score_questions(scorer, encoder, questions, 2000, silent)
    assert sum(states for *_, states in seen) == 900 and max(tokens for _, tokens, _ in seen) <= 2000
    assert sum(tokens for _, tokens, _ in seen) < 0.85 * sum(lengths)
    for one, other in zip(padded, tree, strict=True):
        assert list(one.totals) == pytest.approx(list(other.totals), abs=1e-4)
        assert one.tokens == (1, 1, 1, 1)


def test_what_passages_save(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    """A passage with three questions is computed once, in every budget that holds it."""
    passage = PASSAGE * 3
    questions = [Question(str(n), f"{passage}Q: {n}?\nAnswer:", KOREAN) for n in range(3)]
    encoded = list(Boundary(encoder).encode(questions))
    stem = common(*(context for context, _ in encoded))
    rest = sum(len(context) - stem + sum(len(option) - 1 for option in options) for context, options in encoded)
    scorer = Scorer(load(place_of("llama"), torch.float32), "tree")
    seen = counted(scorer)
    for budget in (1, 10_000):
        score_questions(scorer, encoder, questions, budget, silent)
        assert [tokens for _, tokens, _ in seen] == [stem + rest]
        seen.clear()


def test_batch_size_one_and_many_agree(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    questions = [*QUESTIONS, *many(20, True)]
    scorer = Scorer(load(place_of("llama"), torch.float32), "tree")
    single: list[OptionScores] = []
    for question in questions:
        single += score_questions(scorer, encoder, [question], 1, silent)
    for budget in (1, 300, 5000):
        for one, other in zip(single, score_questions(scorer, encoder, questions, budget, silent), strict=True):
            assert list(one.totals) == pytest.approx(list(other.totals), abs=1e-4)
            assert one.totals.index(max(one.totals)) == other.totals.index(max(other.totals))
    again = score_questions(scorer, encoder, questions, 300, silent)
    assert again == score_questions(scorer, encoder, questions, 300, silent)


def test_long_contexts_are_cut_on_their_left(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, max_position_embeddings=32)
    encoder, network = encoder_of(folder), load(folder)
    question = Question("long", "The sea is deep and wide and blue and cold.\nAnswer:", (" A", " deep"))
    ((context, options),) = Boundary(encoder).encode([question])
    (found,) = score_questions(Scorer(load(folder), "tree"), encoder, [question], 100, silent)
    kept = 32 + 1 - max(map(len, options))
    assert found.cut == len(context) - kept > 0
    cut = (context[0], *context[-(kept - 1) :])
    assert context[0] == encoder.tokenizer.bos_token_id
    assert list(found.totals) == pytest.approx([own_logits(network, cut, option) for option in options], abs=1e-9)
    fits = Question("fits", "Is it?", (" A",))
    assert score_questions(Scorer(load(folder), "tree"), encoder, [fits], 100, silent)[0].cut == 0
    with pytest.raises(DataError, match=r"question huge: an option has 40 tokens, and the model reads 32"):
        score_questions(Scorer(load(folder), "tree"), encoder, [Question("huge", "x", ("y" * 40,))], 100, silent)


def test_not_a_number_is_an_error(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    network = load(place_of("llama"))
    letter = encoder.tokenizer.convert_tokens_to_ids("q")
    network.get_input_embeddings().weight.data[letter] = torch.nan
    questions = [Question("fine", "The sea", (" A", " B")), Question("broken", "The quay", (" A", " B"))]
    with pytest.raises(NotFinite, match=r"not finite for the examples broken$"):
        score_questions(Scorer(network, "padded"), encoder, questions, 1, silent)
    with pytest.raises(NotFinite, match="broken"):
        score_passages(Scorer(network, "tree"), encoder, [Passage("broken", "quay", "en")], 100, silent)


def test_nothing_asked(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    scorer = Scorer(load(place_of("llama")), "tree")
    seen = counted(scorer)
    assert score_questions(scorer, encoder, [], 100, silent) == []
    assert score_passages(scorer, encoder, [], 100, silent) == []
    (empty,) = score_passages(scorer, encoder, [Passage("empty", "", "en")], 100, silent)
    assert (empty.total, empty.tokens, empty.bytes, seen) == (0.0, 0, 0, [])


def test_progress_reaches_the_end(place_of: Callable[[str], Path], encoder: Encoder) -> None:
    for layout in ("tree", "flat", "padded"):
        told: list[tuple[int, int]] = []
        scorer = Scorer(load(place_of("llama")), layout)  # type: ignore[arg-type]
        score_questions(scorer, encoder, QUESTIONS, 200, lambda *state, told=told: told.append(state))
        assert told == sorted(told) and len(told) > 1 and told[-1] == (len(QUESTIONS), len(QUESTIONS))


TEXTS = [
    Passage("de", "Die See ist tief und weit. Größer als alles!", "de"),
    Passage("empty", "", "en"),
    Passage("long", "The sea is deep, said the man. " * 9, "en"),
    Passage("one", "x", "en"),
    Passage("written start", "<s>The sea", "en"),
    Passage("same", "x", "en"),
]


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom"])
def test_passages(name: str, tmp_path: Path) -> None:
    """Every token is scored once, the first one after BOS, and a long text in windows."""
    folder = tiny_model(tmp_path, MODELS[name][0], max_position_embeddings=64)
    encoder, attention = encoder_of(folder), MODELS[name][1]
    network, scored = load(folder, attention=attention), load(folder, attention=attention)
    scored.config.max_position_embeddings = 64  # Bloom has none of its own
    for layout in ("tree", "padded"):
        found = score_passages(Scorer(scored, layout), encoder, TEXTS, 200, silent)  # type: ignore[arg-type]
        assert [score.passage for score in found] == TEXTS
        for score in found:
            ids = encoder.tokenizer(score.passage.text, add_special_tokens=False)["input_ids"]
            ids = ids[1:] if score.passage.text.startswith("<s>") else ids
            parts = list(windows(tuple(ids), encoder.tokenizer.bos_token_id, 64))
            right = sum(own_logits(network, context, part) for context, part in parts)
            assert score.total == pytest.approx(right, abs=1e-9 if attention == "sdpa" else 1e-5)
            assert score.tokens == len(ids) == sum(len(part) for _, part in parts)
            assert score.bytes == len(score.passage.text.encode())
    assert found[1].total == 0.0 and found[3].total == found[5].total < 0


# --- lm-eval


@pytest.fixture(scope="module")
def harness(place_of: Callable[[str], Path]) -> Any:
    """lm-eval's own model class over the tiny model, in float64."""
    pytest.importorskip("lm_eval", reason="needs lm-eval, of the extra bench")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lm_eval.models.huggingface import HFLM

        folder = place_of("llama")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return HFLM(load(folder), tokenizer=tokenizer, batch_size=3, device="cpu", max_length=512, backend="causal")


def requests(*arguments: tuple[str, ...]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, given, number) for number, given in enumerate(arguments)]


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_scores_questions_alike(harness: Any, place_of: Callable[[str], Path], encoder: Encoder) -> None:
    questions = [question for question in QUESTIONS if not question.chat]
    pairs = [(question.context, option) for question in questions for option in question.options]
    theirs = [total for total, _ in harness.loglikelihood(requests(*pairs), disable_tqdm=True)]
    ours = score_questions(Scorer(load(place_of("llama")), "tree"), encoder, questions, 300, silent)
    assert [total for score in ours for total in score.totals] == pytest.approx(theirs, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_splits_alike(harness: Any, encoder: Encoder) -> None:
    questions = [question for question in QUESTIONS if question.context and not question.chat]
    for question, (context, options) in zip(questions, Boundary(encoder).encode(questions), strict=True):
        for text, option in zip(question.options, options, strict=True):
            assert harness._encode_pair(question.context, text) == (list(context), list(option))


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_scores_texts_alike(
    harness: Any, place_of: Callable[[str], Path], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to add no BOS of its own, since it puts one before the text already."""
    monkeypatch.setattr(harness, "add_bos_token", False)
    monkeypatch.setattr(harness, "_max_length", 64)
    texts = [passage for passage in TEXTS if passage.text and not passage.text.startswith("<s>")]
    theirs = harness.loglikelihood_rolling(requests(*((passage.text,) for passage in texts)), disable_tqdm=True)
    network = load(place_of("llama"))
    network.config.max_position_embeddings = 64
    ours = score_passages(Scorer(network, "tree"), encoder, texts, 300, silent)
    assert [score.total for score in ours] == pytest.approx(theirs, abs=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_makes_the_same_windows() -> None:
    utils = pytest.importorskip("lm_eval.utils", reason="needs lm-eval, of the extra bench")
    for length in range(40):
        theirs = map(utils.make_disjoint_window, utils.get_rolling_token_windows(list(range(length)), 99, 8, 1))
        assert [(list(a), list(b)) for a, b in windows(tuple(range(length)), 99, 8)] == list(theirs)
