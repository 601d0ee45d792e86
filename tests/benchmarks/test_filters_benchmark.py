"""The benchmark of the filters: its faults are what they claim, and a cut of it reaches its goals."""

from __future__ import annotations

import random

import pytest

from tests.benchmarks.filters import DEFAULTS, READERS, first_drop, measured
from tests.benchmarks.planted import FAULTS, NTREX, Texts, clean, read_flores, read_ntrex, sound

SMALL = Texts(
    {tag: ["1987 came 24,000 people to see him there.", "He was 3.5 metres tall.", "No one knew."] for tag in NTREX},
    ["a", "a", "a"],
)


@pytest.fixture(scope="module")
def ntrex() -> Texts:
    try:
        whole = read_ntrex()
    except FileNotFoundError:
        pytest.skip("NTREX is not in ../shared/data")
    return Texts({tag: own[:150] for tag, own in whole.by_tag.items()}, whole.documents[:150], whole.faulty)


def planted(kind: str) -> list[str]:
    return [one.target.response for one in FAULTS[kind](SMALL, "de", random.Random(0))]


def test_faults_are_what_they_claim() -> None:
    first, second, third = SMALL.by_tag["de"]
    for text, whole in zip(planted("looped"), SMALL.by_tag["de"], strict=True):
        assert text.startswith(whole)
        assert text.split().count(whole.split()[-1]) >= 4
    assert planted("untranslated") == [first, second, third]
    assert planted("truncated sentence") == ["1987 came 24,000", "He was"]
    assert planted("truncated document") == []  # the first sentence is more than half
    turned = Texts({tag: own[::-1] for tag, own in SMALL.by_tag.items()}, SMALL.documents)
    (cut,) = FAULTS["truncated document"](turned, "de", random.Random(0))
    assert cut.target.response in (third, f"{third} {second}")
    numbers = planted("lost number")
    assert numbers[::2] == [first.removeprefix("1987"), "1987 came people to see him there.", "He was metres tall."]
    assert all(len(text) == len(whole) for text, whole in zip(numbers[1::2], [first, first, second], strict=True))
    assert not {first, second} & set(numbers)


def test_measured_counts_by_the_first_filter_that_drops() -> None:
    found = measured(clean(SMALL, "de"), DEFAULTS)
    assert found["n"] == 3 and found["dropped"] == sum(found["by"].values()) == 3
    assert found["by"] == {"identical: identical response": 3}
    assert measured([], DEFAULTS) == {"n": 0, "dropped": 0, "share": None, "by": {}}


@pytest.mark.parametrize("tag", ["de", "zh", "ko"])
def test_a_cut_reaches_its_goals(ntrex: Texts, tag: str) -> None:
    assert measured(sound(ntrex, tag), DEFAULTS)["share"] <= 0.02
    for kind in ("wrong language", "truncated sentence", "looped", "untranslated", "lost number"):
        found = measured(list(FAULTS[kind](ntrex, tag, random.Random(0))), DEFAULTS)
        assert found["share"] >= 0.93, (kind, found)  # of 150 sentences; the whole set is in docs/results.md


def test_flores_is_read_as_its_quotes_have_it() -> None:
    try:
        texts = read_flores()
    except FileNotFoundError:
        pytest.skip("FLORES is not in ../shared/data")
    assert {len(own) for own in texts.by_tag.values()} == {1004}
    assert not any(text.startswith('"""') for text in texts.by_tag["en"])


def test_pairs_with_a_known_fault_are_not_sound() -> None:
    texts = Texts(SMALL.by_tag, SMALL.documents, {"yo": {1: "2 is missing"}})
    assert [one.id for one in sound(texts, "yo")] == ["0", "2"]
    assert len(sound(texts, "de")) == len(clean(texts, "yo")) == 3


# Numbers up to twelve, which are not looked for; a lost "million" (1273) and 2.2 where there is another 2 (637).
NOT_FOUND = {"ntrex": {368, 545, 1161, 1167, 1273, 1502, 1942}, "flores": {29, 115, 637, 657, 913}}


@pytest.mark.parametrize("name", ["ntrex", "flores"])
def test_known_faults_are_dropped(name: str) -> None:
    try:
        texts = READERS[name]()
    except FileNotFoundError:
        pytest.skip(f"{name} is not in ../shared/data")
    pairs = clean(texts, "yo")
    assert len(texts.faulty["yo"]) > 10
    assert {i for i in texts.faulty["yo"] if first_drop(pairs[i], DEFAULTS) is None} == NOT_FOUND[name]
    assert measured(sound(texts, "yo"), DEFAULTS)["share"] <= 0.02


def test_yoruba_reaches_its_goals() -> None:
    try:
        texts = read_ntrex()
    except FileNotFoundError:
        pytest.skip("NTREX is not in ../shared/data")
    for kind in ("truncated sentence", "lost number"):
        examples = list(FAULTS[kind](texts, "yo", random.Random(f"0/yo/{kind}")))
        assert len(examples) > 500 and measured(examples, DEFAULTS)["share"] >= 0.95, kind
