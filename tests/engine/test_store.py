"""Artifacts: whole or absent, checked, found again by value, and remade when anything that decides them changes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from langxfer.builtin.evaluators.held_out import HeldOut
from langxfer.builtin.filters import Identical
from langxfer.builtin.objectives import Clo, Dpo, Kto
from langxfer.builtin.selectors import AttentionSelector, FullSelector
from langxfer.components import Objective
from langxfer.engine import models, plan
from langxfer.engine.store import (
    MANIFEST,
    SCRATCH,
    Store,
    canonical,
    digest,
    flatten,
    make_folder,
    storage_errors,
    write_atomically,
)
from langxfer.errors import ArtifactError
from langxfer.recipe import Compute, Data, Model, Phase, Recipe, Training
from langxfer.testing import FakeTranslator, tiny_model

KEY = digest("a key")
WHAT = {"model": {"dtype": "float32"}, "beam": [4, 5]}


def make(store: Store, key: str = KEY, what: Any = WHAT, text: str = "content") -> Any:
    folder = store.partial("train", key)
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text(text)
    (folder / "inner" / "b.bin").write_bytes(b"\0\1")
    (folder / SCRATCH).mkdir()
    (folder / SCRATCH / "checkpoint").write_text("only while it is made")
    return store.commit("train", key, what, {"facts": {"seconds": 1.5}})


def test_commit_and_find(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find("train", KEY) is None
    made = make(store)
    found = store.find("train", KEY)
    assert found == made
    assert found.path == tmp_path / "train" / KEY
    assert sorted(found.manifest["files"]) == ["a.txt", "inner/b.bin"]
    assert found.manifest["what"] == WHAT
    assert found.manifest["facts"] == {"seconds": 1.5}
    assert not (found.path / SCRATCH).exists()
    assert not store.partial("train", KEY).exists()
    assert store.find("encode", KEY) is None
    assert store.find("train", digest("another key")) is None


def test_all_files_can_be_read_by_whom_the_manifest_can(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.partial("train", KEY).mkdir(parents=True)
    (store.partial("train", KEY) / "trained.safetensors").touch(0o600)
    found = store.commit("train", KEY, WHAT, {"facts": {}})
    modes = {path.name: path.stat().st_mode & 0o777 for path in found.path.iterdir()}
    assert modes["trained.safetensors"] == modes["manifest.json"] != 0o600


@pytest.mark.parametrize(
    "damage", ["changed", "cut", "missing", "manifest cut", "manifest missing", "other key", "not an object"]
)
def test_damage_is_detected_and_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    path = make(store).path
    manifest = path / MANIFEST
    if damage == "changed":  # of the same size
        (path / "a.txt").write_text("cantent")
        assert store.find("train", KEY, verify=False) is not None
    elif damage == "cut":
        (path / "a.txt").write_text("con")
        assert store.find("train", KEY, verify=False) is None
    elif damage == "missing":
        (path / "inner" / "b.bin").unlink()
    elif damage == "manifest missing":
        manifest.unlink()
    else:
        text = {"manifest cut": manifest.read_text()[:-20], "not an object": "[]"}.get(damage)
        manifest.write_text(text or manifest.read_text().replace(KEY, digest("another key")))
    assert store.find("train", KEY) is None
    make(store, text="again")
    assert store.find("train", KEY) is not None
    assert (path / "a.txt").read_text() == "again"


def test_several_threads_may_write_one_file(tmp_path: Path) -> None:
    texts = [str(number) * 1000 for number in range(8)]

    def write(text: str) -> None:
        for _ in range(40):
            write_atomically(tmp_path / "own.json", text)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, texts))
    assert (tmp_path / "own.json").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["own.json"]


@pytest.mark.parametrize("moment", ["while it is made", "before the manifest", "before the renaming"])
def test_killed_in_the_middle_leaves_no_artifact(tmp_path: Path, moment: str) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from langxfer.engine import store
        kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        own = store.Store(Path({str(tmp_path)!r}))
        with own.locked("train", {KEY!r}):
            folder = own.partial("train", {KEY!r})
            folder.mkdir(parents=True)
            (folder / "a.txt").write_text("half")
            if {moment!r} == "while it is made":
                kill()
            if {moment!r} == "before the manifest":
                store.write_atomically = kill
            if {moment!r} == "before the renaming":
                rename = os.replace
                os.replace = lambda old, new: rename(old, new) if Path(old).is_file() else kill()
            own.commit("train", {KEY!r}, {{}}, {{}})
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert result.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    assert store.find("train", KEY) is None
    assert store.nearest("train", WHAT) is None
    assert (store.partial("train", KEY) / "a.txt").read_text() == "half"
    with store.locked("train", KEY):  # the dead process holds it no longer
        store.commit("train", KEY, {}, {})
    found = store.find("train", KEY)
    assert found is not None
    assert list(found.manifest["files"]) == ["a.txt"]


def test_two_processes_do_not_make_the_same_artifact(tmp_path: Path) -> None:
    store = Store(tmp_path)
    program = f"""
        from pathlib import Path
        from langxfer.engine.store import Store
        with Store(Path({str(tmp_path)!r})).locked("train", {KEY!r}):
            print("in", flush=True)
    """
    with store.locked("train", KEY):
        other = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=0.5)
    assert other.communicate(timeout=120)[0] == b"in\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "disk is full. Free some space"), (errno.EDQUOT, "disk is full"), (errno.EROFS, "--runs")],
)
def test_a_disk_that_cannot_be_written_is_a_sentence(tmp_path: Path, code: int, message: str) -> None:
    with pytest.raises(ArtifactError, match=message), storage_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), storage_errors(tmp_path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _a_loop(path: Path) -> Path:
    path.symlink_to(path)
    return path / "below"


def test_a_place_that_takes_no_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    places = [tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), _a_loop(tmp_path / "loop")]
    if Path("/proc/self").is_dir():
        places.append(Path("/proc/x/y"))
    for place in places:
        with pytest.raises(ArtifactError, match=r"cannot make this folder \(.*\)\. Choose another one with -o\."):
            make_folder(place, "-o")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")


def test_a_store_in_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "artifacts", _a_loop(tmp_path / "loop")):
        with pytest.raises(ArtifactError, match=r"is not a folder\. Choose another one with --runs"):
            Store(place)
    Store(tmp_path / "not" / "there")


def test_nearest_says_what_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.nearest("train", WHAT) is None
    make(store)
    make(store, digest("far"), {"model": {"dtype": "bfloat16"}, "beam": [1], "limit": 7})
    assert store.nearest("train", WHAT) == []
    assert store.nearest("train", {"model": {"dtype": "float32"}, "beam": [4, 6]}) == ["beam[1] 5 -> 6"]
    near = store.nearest("train", {"model": {"dtype": "bfloat16"}, "beam": [1]})
    assert near == ["limit 7 -> (absent)"]
    hashes = store.nearest("train", {**WHAT, "data": digest("x")})
    assert hashes == [f"data (absent) -> {digest('x')[:10]}…"]
    assert store.nearest("encode", WHAT) is None


def test_equal_values_have_equal_keys() -> None:
    assert digest({"b": [1, 2.0], "a": "é"}) == digest({"a": "é", "b": [1, 2.0]})
    assert digest({"a": 1}) != digest({"a": "1"})
    assert canonical({"b": None, "a": True}) == '{"a":true,"b":null}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})
    assert flatten({"a": [{"b": 1}, []], "c": {}}) == {"a[0].b": 1, "a[1]": [], "c": {}}


# ---------------------------------------------------------------- keys of stages

ALL = {"translate", "encode", "before", "reference", "train", "after"}
TRAINED = {"train", "after"}
MODEL = {"before", "reference", "train", "after"}
TOKENS = ALL - {"translate"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("keys")
    template = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    made = {
        "plain": tiny_model(root / "plain"),
        "copy": tiny_model(root / "copy"),
        "weights": tiny_model(root / "weights", seed=1),
        "template": tiny_model(root / "template", template=template),
        "tokenizer": tiny_model(root / "tokenizer", merges=("th",), vocab_size=261),
        "stops": tiny_model(root / "stops"),
    }
    path = made["stops"] / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [1, 3]}))
    for name, text in {"data": "Hi", "other": "Ho"}.items():
        (root / f"{name}.jsonl").write_text(json.dumps({"id": "1", "instruction": text, "output": "Yes"}) + "\n")
    return {**made, "data": root / "data.jsonl", "other": root / "other.jsonl"}


def recipe_of(folders: dict[str, Path], **changes: dict[str, Any]) -> Recipe:
    data = {"source": str(folders["data"]), "format": "alpaca", "target_languages": ("de",), "validation": 1}
    phase = {"objective": Clo(), "selector": AttentionSelector(), "training": Training()}
    recipe = {"title": "one", "translator": FakeTranslator(), "evaluators": (HeldOut(),), **changes.get("recipe", {})}
    return Recipe(
        model=Model(**{"source": str(folders["plain"]), **changes.get("model", {})}),
        data=Data(**{**data, **changes.get("data", {})}),
        phases=(Phase(**{**phase, **changes.get("phase", {})}),),
        **recipe,
    )


def keys(recipe: Recipe) -> dict[str, str]:
    built = plan.build(recipe)
    (phase,), (evaluator,) = built.phases, built.evaluators
    assert phase.reference is not None
    stages = (built.translate, built.encode, evaluator.before, phase.reference, phase.train, evaluator.after)
    return dict(
        zip(("translate", "encode", "before", "reference", "train", "after"), (s.key for s in stages), strict=True)
    )


class Newer(FakeTranslator):
    results_version = 2


class Moved(Clo):
    def identity(self) -> dict[str, Any]:
        return {"library": "2.0"}


def changed(folders: dict[str, Path]) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """What changes -> the changes to the recipe, and the stages that must be made again."""

    def source(name: str) -> dict[str, Any]:
        return {"model": {"source": str(folders[name])}}

    def data(**options: Any) -> dict[str, Any]:
        return {"data": options}

    def training(**options: Any) -> dict[str, Any]:
        return {"phase": {"training": Training(**options)}}

    def objective(value: Objective) -> dict[str, Any]:
        return {"phase": {"objective": value}}

    return {
        "nothing": ({}, set()),
        "title": ({"recipe": {"title": "two"}}, set()),
        "compute": ({"recipe": {"compute": Compute(layout="padded", attention="eager", threads=1)}}, set()),
        "a copy of the model": (source("copy"), set()),
        "weights": (source("weights"), MODEL),
        "template of the tokenizer": (source("template"), TOKENS),
        "tokenizer": (source("tokenizer"), TOKENS),
        "end-of-turn tokens": (source("stops"), TOKENS),
        "named template": ({"model": {"template": "plain"}}, TOKENS),
        "dtype": ({"model": {"dtype": "bfloat16"}}, MODEL),
        "rows": (data(source=str(folders["other"])), ALL),
        "limit": (data(limit=1), ALL - {"before"}),
        "language": (data(target_languages=("sw",)), ALL),
        "held-out rows": (data(validation=2), ALL),
        "data seed": (data(seed=1), ALL),
        "max_length": (data(max_length=99), TOKENS),
        "too_long": (data(too_long="cut"), TOKENS),
        "filters": (data(filters=(Identical(),)), ALL),
        "filter option": (data(filters=(Identical(max_similarity=0.5),)), ALL),
        "translator option": ({"recipe": {"translator": FakeTranslator(missing="x")}}, ALL),
        "results_version": ({"recipe": {"translator": Newer()}}, ALL),
        "lambda": (objective(Clo(**{"lambda": 0.1})), TRAINED),
        "beta": (objective(Clo(beta=0.2)), TRAINED),
        "objective": (objective(Dpo()), TRAINED),
        "identity of a component": (objective(Moved()), TRAINED),
        "selector": ({"phase": {"selector": FullSelector()}}, TRAINED),
        "learning rate": (training(learning_rate=1e-4), TRAINED),
        "training seed": (training(seed=3), TRAINED),
        "evaluator option": ({"recipe": {"evaluators": (HeldOut(margins=False),)}}, {"before", "after"}),
    }


def test_keys_change_with_every_ingredient_and_nothing_else(folders: dict[str, Path]) -> None:
    before = keys(recipe_of(folders))
    seen = set()
    for name, (changes, expected) in changed(folders).items():
        after = keys(recipe_of(folders, **changes))
        assert {stage for stage, key in after.items() if key != before[stage]} == expected, name
        seen.add(after["after"])
    assert len(seen) == len(changed(folders)) - 3  # the first four change nothing


def test_versions_are_ingredients(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(recipe_of(folders))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "libraries", lambda *names: {"torch": "9.9", "transformers": "9.9"})
        after = keys(recipe_of(folders))
        assert {stage for stage, key in after.items() if key != before[stage]} == MODEL
    with monkeypatch.context() as patch:
        patch.setattr(plan, "RESULTS_VERSION", 99)
        assert all(key != before[stage] for stage, key in keys(recipe_of(folders)).items())
    cutting = keys(recipe_of(folders, data={"too_long": "cut"}))
    with monkeypatch.context() as patch:
        patch.setattr(plan, "CUT_VERSION", 99)
        assert keys(recipe_of(folders)) == before
        after = keys(recipe_of(folders, data={"too_long": "cut"}))
        assert {stage for stage, key in after.items() if key != cutting[stage]} == TOKENS


def test_a_retrained_model_in_the_same_folder_is_another_model(tmp_path: Path) -> None:
    first = models.folder_identity(tiny_model(tmp_path))
    assert models.folder_identity(tmp_path) == first
    second = models.folder_identity(tiny_model(tmp_path, seed=5))
    assert second.weights != first.weights
    assert second.tokenizer == first.tokenizer


def test_mismatched_views_are_in_the_key_of_a_reference_that_has_them(folders: dict[str, Path]) -> None:
    def reference(objective: Objective) -> plan.Stage:
        stage = plan.build(recipe_of(folders, phase={"objective": objective})).phases[0].reference
        assert stage is not None
        return stage

    clo, kto = reference(Clo()), reference(Kto())
    assert clo.what["views"] == reference(Dpo(preference="ipo")).what["views"] == ["SS", "ST", "TS", "TT"]
    assert clo.key == reference(Dpo(label_smoothing=0.1)).key
    assert kto.what == {**clo.what, "views": ["SS", "SS+1", "ST", "TS", "TT", "TT+1"]}
    assert kto.key == reference(Kto(beta=0.3, desirable_weight=2.0, kl_views=["TT+1", "SS+1"])).key
    assert kto.key != reference(Kto(kl_views=["SS+1"])).key
