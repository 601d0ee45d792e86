"""The layouts of instruction data, each from a real file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langxfer.data import Turn
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.sources import read
from langxfer.recipe import Data

REAL = Path(__file__).parents[3] / "shared" / "data"
GOOD = {"id": "a", "instruction": "Name a bird.", "input": "", "output": "A wren."}


def data_of(source: Path | str, format: str = "alpaca", **options: Any) -> Data:
    return Data(source=str(source), format=format, **{"target_languages": ("de",), **options})


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"the data set {name} is not beside the repository (shared/data)")
    return path


def texts(rows: list[SourceRow]) -> list[tuple[str, str, str]]:
    return [(row.id, row.turns["en"].prompt, row.turns["en"].response) for row in rows]


def test_alpaca_rows_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    bad = [
        {"id": "b", "output": "y"},
        {"instruction": "x", "output": 3},
        {"id": "d", "instruction": " \n", "input": None, "output": "y"},
        {"id": "e", "instruction": "x", "output": "\t"},
        ["x", "y"],
        {"id": "a", "instruction": "x", "output": "y"},
        {"id": 1.5, "instruction": "x", "output": "y"},
        {"id": "g", "instruction": "x \ud800", "output": "y"},
    ]
    rows, rejected = read(data_of(jsonl(path, GOOD, *bad)))
    assert [row.id for row in rows] == ["a"]
    assert rejected == [
        Rejected("b", 'no field "instruction"'),
        Rejected("train.jsonl:3", 'field "output" is a whole number, not text'),
        Rejected("d", "empty prompt"),
        Rejected("e", "empty response"),
        Rejected("train.jsonl:6", "not an object but a list"),
        Rejected("a", "duplicate id"),
        Rejected("train.jsonl:8", 'id field "id" is a decimal number, not text or a whole number'),
        Rejected("g", "prompt is not valid Unicode (half of a surrogate pair)"),
    ]


def talk(*turns: str) -> dict[str, Any]:
    names = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": names[turn[0]], "content": turn[2:]} for turn in turns]}


def test_messages_give_the_first_turn(tmp_path: Path) -> None:
    rows = [
        talk("s:Be brief.", "u:Hi", "a:Hello", "u:More", "a:No"),
        talk("a:Welcome", "u:Hi", "a:Hello"),
        talk("u:Hi", "u:Still there?", "a:Yes"),
        talk("s:Be brief."),
        talk("s:Be brief.", "u: ", "a:Hello"),
        {"messages": "Hi"},
        {"messages": ["Hi", "Hello"]},
    ]
    found, rejected = read(data_of(jsonl(tmp_path / "a.jsonl", *rows), "messages"))
    assert texts(found) == [("row-1", "Be brief.\n\nHi", "Hello"), ("row-2", "Hi", "Hello")]
    assert [item.reason for item in rejected] == [
        "no assistant message after the first user message",
        "no user message",
        "empty prompt",
        'field "messages" is text, not a list of messages',
        "not an object but text",
    ]


def reply(name: str, rank: int | None, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "text": f"text of {name}", "role": "assistant", "lang": "en", "rank": rank, **more}


def tree(name: str, *replies: Any, **more: Any) -> dict[str, Any]:
    prompt = {"message_id": f"p-{name}", "text": f"ask {name}", "role": "prompter", "lang": "en", **more}
    return {"message_tree_id": name, "prompt": {**prompt, "replies": list(replies)}}


def test_oasst_takes_the_best_reply_and_orders_by_rank(tmp_path: Path) -> None:
    trees = [
        tree("none", reply("z", None), reply("y", None)),
        tree("first", reply("n", 1), reply("m", 0), reply("k", None)),
        tree("second", reply("gone", 0, deleted=True), reply("spanish", 1, lang="es"), reply("c", 2), reply("b", 2)),
        tree("zero", reply("a", 0)),
        tree("german", reply("d", 0), lang="de"),
        tree("deleted", reply("d", 0), deleted=True),
        tree("silent", reply("e", 0, text=" "), reply("f", 1, role="prompter"), "junk"),
        tree("zero", reply("q", 0)),
        {"message_tree_id": "stump", "prompt": None},
    ]
    rows, rejected = read(data_of(jsonl(tmp_path / "a.jsonl", *trees), "oasst"))
    best = [(row.id, row.turns["en"].response) for row in rows]
    assert best == [
        ("zero", "text of a"),
        ("first", "text of m"),
        ("second", "text of b"),
        ("none", "text of y"),
    ]
    assert rejected == [
        Rejected("german", 'the tree is in "de", not in "en"'),
        Rejected("deleted", "the prompt is deleted"),
        Rejected("silent", "no answer to the first turn"),
        Rejected("stump", "not an object but null"),
        Rejected("zero", "duplicate id"),
    ]


def test_oasst_gives_several_replies_of_a_prompt_where_asked(tmp_path: Path) -> None:
    trees = [
        tree("one", reply("c", 2), reply("a", 0), reply("b", 1)),
        tree("two", reply("e", None), reply("d", 0)),
        tree("three", reply("f", 1)),
    ]
    path = jsonl(tmp_path / "a.jsonl", *trees)
    rows = {most: read(data_of(path, "oasst", replies_per_prompt=most))[0] for most in (1, 2, "all")}
    found = [(row.id, row.turns["en"].response[-1], row.again) for row in rows["all"]]
    assert found == [
        *(("one", "a", None), ("two", "d", None), ("one:2", "b", "one"), ("three", "f", None)),
        *(("one:3", "c", "one"), ("two:2", "e", "two")),
    ]
    assert [row.id for row in rows[1]] == ["one", "two", "three"]
    assert [row.id for row in rows[2]] == ["one", "two", "one:2", "three", "two:2"]


def test_oasst_regions_belong_to_their_language(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", tree("t", reply("a", 0, lang="pt-BR"), lang="pt-BR"))
    rows, _ = read(data_of(path, "oasst", source_language="pt"))
    assert rows[0].turns["pt"].prompt == "ask t"


def test_oasst_flat_messages_are_the_same_as_trees(tmp_path: Path) -> None:
    trees = [tree("1", reply("b", 1), reply("a", 0)), tree("2", reply("c", None))]
    flat: list[dict[str, Any]] = []
    for item in trees:
        root = {key: value for key, value in item["prompt"].items() if key != "replies"}
        flat.append({**root, "message_id": item["message_tree_id"], "parent_id": None})
        flat += [{**answer, "parent_id": item["message_tree_id"]} for answer in item["prompt"]["replies"]]
        flat.append({**reply("deep", 0), "parent_id": item["prompt"]["replies"][0]["message_id"]})
    from_trees = read(data_of(jsonl(tmp_path / "trees.jsonl", *trees), "oasst"))
    assert read(data_of(jsonl(tmp_path / "flat.jsonl", *reversed(flat)), "oasst")) == from_trees


def side(name: str) -> dict[str, str]:
    return {"instruction": f"ask {name}", "input": "", "output": f"answer {name}"}


def test_parallel_rows_lose_only_the_language_that_is_wrong(tmp_path: Path) -> None:
    rows = [
        {"id": "both", "en": side("en"), "de": side("de"), "sw": side("sw"), "fr": side("fr")},
        {"id": "one", "en": side("en"), "de": {**side("de"), "output": " "}, "sw": side("sw")},
        {"id": "none", "en": side("en"), "de": None, "sw": "text"},
        {"id": "sourceless", "de": side("de"), "sw": side("sw")},
    ]
    data = data_of(jsonl(tmp_path / "a.jsonl", *rows), "parallel", target_languages=("de", "sw"))
    found, rejected = read(data)
    assert [(row.id, list(row.turns), dict(row.missing)) for row in found] == [
        ("both", ["en", "de", "sw"], {}),
        ("one", ["en", "sw"], {"de": "de: empty response"}),
    ]
    assert found[0].turns["sw"] == Turn("ask sw", "answer sw", "sw")
    assert rejected == [
        Rejected("none", 'no side "de"; side "sw" is not an object'),
        Rejected("sourceless", 'no side "en"'),
    ]


def test_real_oasst_trees() -> None:
    path = real("oasst1/en_100_tree.jsonl")
    rows, rejected = read(data_of(path, "oasst"))
    trees = {
        item["message_tree_id"]: item["prompt"]
        for item in map(json.loads, path.read_text(encoding="utf-8").split("\n")[:100])
    }
    assert len(rows) + len(rejected) == 100 and len(rows) > 90
    ranks = []
    for row in rows:
        replies = trees[row.id]["replies"]
        known = [item["rank"] for item in replies if item.get("rank") is not None]
        chosen = next(item for item in replies if item["text"].strip() == row.turns["en"].response)
        assert not known or chosen["rank"] == min(known)
        ranks.append((chosen.get("rank") is None, chosen.get("rank") or 0, chosen["message_id"]))
    assert ranks == sorted(ranks)
