"""Reading instruction data from real files: every row is used or refused with a reason."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from langxfer.data import Turn
from langxfer.engine.formats import SourceRow
from langxfer.engine.sources import identity, locate, read, split
from langxfer.errors import ArtifactError, DataError, RecipeError
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


# ---------------------------------------------------------------- where the data is


def test_shipped_files_are_found_by_name_and_by_nothing_else() -> None:
    path = locate(data_of("langxfer:pairs.jsonl", "parallel"))
    assert path is not None and path.parts[-3:] == ("builtin", "quickstart", "pairs.jsonl")
    for wrong in ("langxfer:pears.jsonl", "langxfer:../quickstart/pairs.jsonl", "langxfer:"):
        with pytest.raises(DataError, match=r"quickstart.*langxfer:pairs\.jsonl"):
            locate(data_of(wrong, "parallel"))


def test_hub_ids_and_missing_files_are_told_apart(tmp_path: Path) -> None:
    assert locate(data_of("OpenAssistant/oasst1", "oasst")) is None
    for missing in ("data/train.jsonl", "train", "../org/name", str(tmp_path / "train.csv")):
        with pytest.raises(DataError, match="no such file") as caught:
            locate(data_of(missing))
        assert str(Path(missing).absolute()) in str(caught.value)


def test_folders_and_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        locate(data_of(tmp_path))
    (tmp_path / "train.xlsx").touch()
    with pytest.raises(DataError, match=r"\.xlsx cannot be read.*\.jsonl"):
        locate(data_of(tmp_path / "train.xlsx"))


def test_identity_is_the_content_not_the_place(tmp_path: Path) -> None:
    one, two = jsonl(tmp_path / "one.jsonl", GOOD), jsonl(tmp_path / "two.jsonl", GOOD)
    assert identity(data_of(one)) == identity(data_of(two))
    assert identity(data_of(one))["sha256"] == hashlib.sha256(one.read_bytes()).hexdigest()
    jsonl(two, GOOD, GOOD)
    assert identity(data_of(one)) != identity(data_of(two))


def test_identity_of_a_pinned_hub_dataset_needs_no_network() -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    found = identity(data_of("org/name", revision=commit, subset="small", split="test"))
    assert found == {"hub": "org/name", "subset": "small", "split": "test", "commit": commit}


@pytest.mark.parametrize("step", [identity, read])
def test_without_network_an_unpinned_hub_dataset_is_a_clear_error(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub import HfApi

    # Nothing listens on port 1: a real failure of the real client.
    monkeypatch.setattr(huggingface_hub, "dataset_info", HfApi(endpoint="http://127.0.0.1:1").dataset_info)
    with pytest.raises(ArtifactError, match=r"data\.source org/name: .*the hub did not answer"):
        step(data_of("org/name"))


def test_hub_rows_keep_their_order_and_their_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is read by the same call as a hub dataset."""
    import datasets

    from langxfer.records import read_hub

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "test.jsonl", GOOD, {**GOOD, "id": "b"})
    datasets.enable_progress_bars()
    records = read_hub(str(tmp_path / "set"), None, "test", None)
    assert [record.value["id"] for record in records] == ["a", "b"]
    assert not datasets.are_progress_bars_disabled()
    with pytest.raises(DataError, match="split train"):
        read_hub(str(tmp_path / "set"), None, "train", None)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"subset": "main"}, "data.subset"),
        ({"split": "test"}, "data.split"),
        ({"revision": "main"}, "data.revision"),
        ({"fields": {"messages": "turns"}}, "data.fields.messages"),
        ({"replies_per_prompt": 2}, "data.replies_per_prompt"),
    ],
)
def test_options_without_effect_are_refused(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    data = data_of(jsonl(tmp_path / "train.jsonl", GOOD), **options)
    for step in (identity, read):
        with pytest.raises(RecipeError, match=f"{named} has no effect"):
            step(data)


def test_a_filled_recipe_s_defaults_are_no_offence(tmp_path: Path) -> None:
    data = data_of(jsonl(tmp_path / "train.jsonl", GOOD))
    assert read(Data.model_validate(data.model_dump()))[0] == read(data)[0]


# ---------------------------------------------------------------- kinds of files


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    from datasets import Dataset, disable_progress_bars

    rows = [
        {"id": "007", "instruction": 'Say "NA", then\nnull', "input": "", "output": "NA"},
        {"id": "8", "instruction": "1", "input": "2\u2028x", "output": "3"},
    ]
    expected = [("007", 'Say "NA", then\nnull', "NA"), ("8", "1\n\n2\u2028x", "3")]
    cells = ['007,"Say ""NA"", then\nnull",,NA\r\n', "8,1,2\u2028x,3\r\n"]
    folder = tmp_path / "data"
    folder.mkdir()
    head = "id,instruction,input,output\r\n"
    (folder / "a.json").write_text(json.dumps(rows))
    (folder / "b.json").write_text("\ufeff" + json.dumps({"data": rows}, ensure_ascii=False), encoding="utf-8")
    lines = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "c.jsonl").write_text(lines, encoding="utf-8", newline="")
    (folder / "d.csv").write_text("\ufeff" + head + "".join(cells), encoding="utf-8", newline="")
    tabbed = (head + cells[0].replace(", then", "; then") + cells[1]).replace(",", "\t").replace("; then", ", then")
    (folder / "e.tsv").write_text(tabbed, encoding="utf-8", newline="")
    disable_progress_bars()
    Dataset.from_list(rows).to_parquet(folder / "f.parquet")
    before = sorted(folder.iterdir())
    for path in before:
        found, rejected = read(data_of(path))
        assert texts(found) == expected, path.name
        assert not rejected
    assert sorted(folder.iterdir()) == before, "nothing is written beside the data"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.jsonl", b'{"instruction": "x", "output": "y"}\n\n{"instruction": \n', 3),
        ("a.jsonl", b'{"instruction": "x", "output": "y"}\n{"output": "\xff"}\n', 2),
        ("a.jsonl", b"[" * 100_000, 1),
        ("a.json", b'[\n{"instruction": "x",\n "output": }]', 3),
        ("a.json", b'{"instruction": "x"}\n{"instruction": "y"}\n', 2),
        ("a.csv", b"instruction,output\nx,y\nx,y,z\n", 3),
        ("a.csv", b'instruction,output\n"x\nx",y\nx\n', 4),
        ("a.csv", b'instruction,output\nx,"y\n', 2),
        ("a.csv", b"instruction,output\nx,\xff\n", 2),
        ("a.csv", b"instruction,output,output\nx,y,z\n", 1),
    ],
)
def test_a_broken_file_is_refused_whole_with_the_line(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}:{line} "):
        read(data_of(tmp_path / name))


def test_json_lines_under_the_wrong_name_are_recognised(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.json", GOOD, GOOD)
    with pytest.raises(DataError, match=r"must be named \.jsonl"):
        read(data_of(tmp_path / "a.json"))


def test_broken_parquet_and_empty_files_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        read(data_of(tmp_path / "a.parquet"))
    for name, content in (("a.jsonl", ""), ("a.json", "[]"), ("a.csv", "instruction,output\n"), ("b.csv", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match="holds no rows"):
            read(data_of(tmp_path / name))
    (tmp_path / "b.json").write_text('{"rows": []}')
    with pytest.raises(DataError, match="an object with rows"):
        read(data_of(tmp_path / "b.json"))


# ---------------------------------------------------------------- rows


def test_missing_ids_are_row_numbers_and_zero_is_an_id(tmp_path: Path) -> None:
    plain = {"instruction": "x", "output": "y"}
    rows, _ = read(data_of(jsonl(tmp_path / "a.jsonl", {"id": 0, **plain}, plain, {"id": "", **plain})))
    assert [row.id for row in rows] == ["0", "row-2", "row-3"]


def test_fields_can_have_other_names(tmp_path: Path) -> None:
    row = {"key": 7, "question": " Why? ", "context": "Because.", "answer": "So."}
    fields = {"id": "key", "instruction": "question", "input": "context", "output": "answer"}
    rows, _ = read(data_of(jsonl(tmp_path / "a.jsonl", row), fields=fields))
    assert rows == [SourceRow("7", {"en": Turn("Why?\n\nBecause.", "So.", "en")})]


@pytest.mark.parametrize("option", ["id", "instruction", "input", "output"])
def test_a_field_that_no_row_has_is_one_error(tmp_path: Path, option: str) -> None:
    data = data_of(jsonl(tmp_path / "a.jsonl", GOOD, GOOD), fields={option: "nowhere"})
    with pytest.raises(DataError, match=rf'"nowhere".*id, instruction, input, output.*data\.fields\.{option}'):
        read(data)


def test_rows_that_are_lists_are_called_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for text in ("[1, 2]\n", "[1, 2]\n[3, 4]\n", '["a"]'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"can be read as alpaca: not an object but a list \("):
            read(data_of(path))
    for text in (f"[{json.dumps(GOOD)}]", f"[\n{json.dumps(GOOD)}\n]"):
        path.write_text(text)
        assert len(read(data_of(path))[0]) == 1


def test_no_usable_row_is_an_error_with_counted_reasons(tmp_path: Path) -> None:
    rows = [{**GOOD, "output": ""}, {**GOOD, "output": " "}, {**GOOD, "output": 1}]
    with pytest.raises(
        DataError, match=r'none of its 3 rows .*empty response \(2\), field "output" is a whole number.* \(1\)'
    ):
        read(data_of(jsonl(tmp_path / "a.jsonl", *rows)))


def side(name: str) -> dict[str, str]:
    return {"instruction": f"ask {name}", "input": "", "output": f"answer {name}"}


def test_wrong_layouts_are_said_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"id": 1, "en": side("en"), "de": side("de")})
    with pytest.raises(DataError, match=r'no row has a field "sw".*id, en, de.*data\.target_languages'):
        read(data_of(path, "parallel", target_languages=("de", "sw")))
    with pytest.raises(DataError, match=r'"ask".*instruction, input, output.*data\.fields\.instruction'):
        read(data_of(path, "parallel", fields={"instruction": "ask"}))
    with pytest.raises(DataError, match=r"OpenAssistant's layout.*id, en, de"):
        read(data_of(path, "oasst"))
    with pytest.raises(DataError, match=r'"messages".*data\.fields\.messages'):
        read(data_of(path, "messages"))


# ---------------------------------------------------------------- splitting


def rows_of(count: int) -> list[SourceRow]:
    return [SourceRow(f"r{number}", {"en": Turn("x", "y", "en")}) for number in range(count)]


def test_validation_is_chosen_by_hash_out_of_all_rows() -> None:
    rows = rows_of(40)
    train, validation = split(rows, data_of("x", validation=5, seed=3, limit=7))
    smallest = sorted(rows, key=lambda row: hashlib.sha256(f"3:{row.id}".encode()).hexdigest())[:5]
    assert {row.id for row in validation} == {row.id for row in smallest}
    assert train == [row for row in rows if row not in smallest][:7]
    assert validation == [row for row in rows if row in smallest], "ranked order"


def test_limit_takes_a_prefix_and_leaves_validation_alone() -> None:
    rows = rows_of(40)
    small, large = (split(rows, data_of("x", validation=5, limit=limit)) for limit in (10, 20))
    assert large[0][:10] == small[0] and large[1] == small[1]
    whole, fewer = split(rows, data_of("x", validation=5)), split(rows, data_of("x", validation=4))
    assert len(whole[0]) == 35 and set(row.id for row in fewer[1]) < set(row.id for row in whole[1])
    assert split(rows, data_of("x", validation=5, seed=1))[1] != whole[1]


def test_a_prompt_that_is_held_out_is_not_trained_on_with_another_reply() -> None:
    again = [SourceRow(f"r{number}:2", {"en": Turn("x", "z", "en")}, again=f"r{number}") for number in range(40)]
    train, validation = split([*rows_of(40), *again], data_of("x", validation=5))
    assert validation == split(rows_of(40), data_of("x", validation=5))[1], (
        "the best replies, whatever others there are"
    )
    held_out = {row.id for row in validation}
    assert len(train) == 70 and not held_out & {row.again or row.id for row in train}


def test_something_must_be_left_to_train_on() -> None:
    assert len(split(rows_of(3), data_of("x", validation=2))[0]) == 1
    with pytest.raises(DataError, match=r"data\.validation is 3, but there are only 3"):
        split(rows_of(3), data_of("x", validation=3))


# ---------------------------------------------------------------- real data


def test_real_parallel_pairs() -> None:
    rows, rejected = read(data_of(real("alpaca-en-de/pairs.jsonl"), "parallel"))
    assert len(rows) + len(rejected) == 11_000 and len(rows) > 10_900
    assert rows[0].id == "alpaca-0"
    assert rows[0].turns["de"].response == "Die Pflanzen wurden vom Gärtner gegossen."
    assert "\n\n" in rows[0].turns["en"].prompt


def test_real_alpaca_json() -> None:
    rows, rejected = read(data_of(real("dolly/dolly_train.json")))
    assert len(rows) + len(rejected) == 2000 and len(rows) > 1990
    assert all(item.reason for item in rejected)
