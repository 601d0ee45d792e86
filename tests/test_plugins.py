"""Plugins found, isolated and refused: real files and real distributions on the path."""

from __future__ import annotations

import hashlib
import textwrap
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from langxfer import plugins
from langxfer.errors import PluginError
from langxfer.events import Notice, StageStarted

SIMPO = """
    from typing import ClassVar, Literal

    from langxfer.components import Objective, Terms
    from langxfer.data import View
    from langxfer.hookspecs import hookimpl


    class Simpo(Objective):
        name: Literal["simpo"] = "simpo"
        views: ClassVar[frozenset[View]] = frozenset(View)
        margin: float = 0.5

        def loss(self, policy, reference):
            return Terms({})


    @hookimpl
    def register_objectives():
        return [Simpo]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a distribution with one module and one entry point on the path, as an installer would."""

    def do(distribution: str, code: str, version: str = "0.3") -> str:
        module = f"{tmp_path.name}_{distribution}".replace("-", "_")
        site = tmp_path / f"site-{distribution}"
        folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (folder / "entry_points.txt").write_text(f"[langxfer]\n{distribution} = {module}\n")
        (site / f"{module}.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(site)
        return module

    return do


@pytest.fixture
def plugin_file(tmp_path: Path):
    def write(code: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(code))
        return path

    return write


def info_of(catalog: plugins.Catalog, name: str) -> plugins.PluginInfo:
    return next(info for info in catalog.plugins if info.name == name)


def test_built_ins_come_through_the_same_hooks() -> None:
    catalog = plugins.load()
    built_in = catalog.plugins[0]
    assert (built_in.name, built_in.source, built_in.error) == ("langxfer", "built-in", None)
    assert {"clo", "dpo", "sft"} <= set(catalog.classes("objective"))
    assert built_in.words["objective"] == tuple(catalog.classes("objective"))
    assert catalog.lookup("objective", "clo").distribution == "langxfer"
    path, distribution = catalog.recipes["clo"]
    assert path.is_file()
    assert distribution == "langxfer"


def test_an_installed_distribution_adds_words(install) -> None:
    install("langxfer-simpo", SIMPO)
    catalog = plugins.load()
    found = catalog.lookup("objective", "simpo")
    assert (found.cls.__name__, found.distribution, found.version) == ("Simpo", "langxfer-simpo", "0.3")
    info = info_of(catalog, "langxfer-simpo")
    assert (info.version, info.source, info.error) == ("0.3", "entry point", None)
    assert info.words == {"objective": ("simpo",)}


def test_a_plugin_file_adds_words_and_is_hashed(plugin_file) -> None:
    path = plugin_file(SIMPO)
    catalog = plugins.load([path, str(path)])
    info = catalog.plugins[-1]
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.source == str(path)
    assert catalog.classes("objective")["simpo"](margin=0.2).margin == 0.2
    assert len([info for info in catalog.plugins if info.sha256]) == 1
    for files in (path, str(path)):
        assert plugins.load(files).plugins == catalog.plugins


def test_an_edited_plugin_file_is_read_anew(plugin_file) -> None:
    first = plugins.load([plugin_file(SIMPO)])
    second = plugins.load([plugin_file(SIMPO.replace("0.5", "0.6"))])
    assert first.classes("objective")["simpo"]().margin == 0.5
    assert second.classes("objective")["simpo"]().margin == 0.6


BROKEN = {
    "import": ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
    "exit": ("raise SystemExit", "SystemExit"),
    "syntax": ("def (", "SyntaxError: invalid syntax"),
    "hook name": (SIMPO.replace("register_objectives", "register_objektives"), "register_objektives is not a hook."),
    "near hook": (SIMPO.replace("register_objectives", "register_objektives"), "Did you mean register_objectives?"),
    "hook arguments": (SIMPO.replace("register_objectives()", "register_objectives(loss)"), "arguments"),
    "no hook at all": ("x = 1", "it registers nothing. Expected Python with functions that are marked @hookimpl: obs"),
    "rows": ('{"instruction": "a", "output": "b"}', "it registers nothing. Expected Python"),
    "no mark": (
        SIMPO.replace("    @hookimpl\n", ""),
        "it registers nothing: register_objectives lacks @hookimpl. Put it above each hook.",
    ),
    "hook raises": (SIMPO.replace("return [Simpo]", "raise KeyError('x')"), "register_objectives raised KeyError: 'x'"),
    "no list": (SIMPO.replace("return [Simpo]", "return Simpo"), "expected a list of Objective classes"),
    "other kind": (
        SIMPO.replace("register_objectives", "register_filters"),
        "register_filters returned Simpo, which is not a subclass of Filter.",
    ),
    "no class": (SIMPO.replace("[Simpo]", "['simpo']"), "'simpo', which is not a subclass of Objective."),
    "no literal": (SIMPO.replace('Literal["simpo"]', "str"), "which needs a name of its own"),
    "no default": (SIMPO.replace('Literal["simpo"] = "simpo"', 'Literal["simpo"]'), "which needs a name of its own"),
    "blank in name": (SIMPO.replace('"simpo"', '"sim po"'), "which needs a name of its own"),
    "abstract": (SIMPO.replace("def loss", "def los"), "Simpo, which leaves out loss."),
    "open": (
        SIMPO.replace("margin:", "model_config = {'extra': 'allow'}\n        margin:"),
        'whose model_config must keep frozen=True and extra="forbid"',
    ),
    "unresolved": (
        SIMPO.replace("margin: float", "margin: 'Nowhere'"),
        "Simpo, whose annotations cannot be resolved when it is used",
    ),
    "no recipe": (
        "from pathlib import Path\nfrom langxfer.hookspecs import hookimpl\n"
        "@hookimpl\ndef register_recipes():\n    return {'x': Path('/nowhere/x.yaml')}\n",
        "register_recipes returned 'x': '/nowhere/x.yaml'; expected a name and a Path of a file.",
    ),
}


@pytest.mark.parametrize(("code", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_broken_distribution_is_listed_and_harms_no_other(install, code: str, sentence: str) -> None:
    install("langxfer-aaa", code)
    install("langxfer-simpo-too", SIMPO.replace("simpo", "simpo-too"))
    catalog = plugins.load()
    info = info_of(catalog, "langxfer-aaa")
    assert info.error is not None
    assert sentence in info.error
    assert "\n" not in info.error
    assert info.words == {}
    assert "simpo" not in catalog.classes("objective")
    assert {"clo", "simpo-too"} <= set(catalog.classes("objective"))


@pytest.mark.parametrize(("code", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_file_is_an_error(plugin_file, code: str, sentence: str) -> None:
    path = plugin_file(code)
    with pytest.raises(PluginError) as caught:
        plugins.load([path])
    assert str(caught.value).startswith(f"--plugin {path} cannot be used: ")
    assert sentence in str(caught.value)


def test_a_missing_plugin_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"nowhere\.py cannot be read: No such file or directory"):
        plugins.load([tmp_path / "nowhere.py"])


def test_one_name_twice_names_both_distributions(install, plugin_file) -> None:
    install("langxfer-simpo", SIMPO)
    install("langxfer-rival", SIMPO)
    with pytest.raises(PluginError) as caught:
        plugins.load()
    assert str(caught.value).startswith(
        'objective "simpo" is registered twice: by langxfer-rival and by langxfer-simpo.'
    )


def test_a_plugin_cannot_replace_a_built_in(plugin_file) -> None:
    path = plugin_file(SIMPO.replace('"simpo"', '"clo"'))
    with pytest.raises(PluginError, match=f'objective "clo" is registered twice: by langxfer and by {path}'):
        plugins.load([path])


def test_a_recipe_name_twice_is_an_error(plugin_file, tmp_path: Path) -> None:
    (tmp_path / "clo.yaml").write_text("title: mine\n")
    path = plugin_file(
        "from pathlib import Path\nfrom langxfer.hookspecs import hookimpl\n"
        "@hookimpl\ndef register_recipes():\n    return {'clo': Path(__file__).parent / 'clo.yaml'}\n"
    )
    with pytest.raises(PluginError, match='recipe "clo" is registered twice: by langxfer and by'):
        plugins.load([path])


def test_lookup_of_an_unknown_word() -> None:
    catalog = plugins.load()
    with pytest.raises(PluginError, match=r'objective "cloo" is not installed. Did you mean "clo"\?  Installed: clo, '):
        catalog.lookup("objective", "cloo")
    with pytest.raises(PluginError, match='"loss" is no kind of component'):
        catalog.lookup("loss", "clo")


OBSERVER = """
    from langxfer.hookspecs import hookimpl

    seen = []

    @hookimpl
    def observe(event):
        seen.append(event)
        {then}
"""


def test_observers_see_events(plugin_file) -> None:
    path = plugin_file(OBSERVER.format(then="assert event.stage == 'train'"))
    catalog = plugins.load([path])
    assert [name for name, _ in catalog.observers] == [str(path)]
    assert catalog.emit(StageStarted("train", "k")) == ()
    assert catalog.emit(StageStarted("other", "k")) != ()


def test_an_observer_that_raises_is_reported_once_and_stops_nothing(plugin_file, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write = f"from pathlib import Path; Path({str(log)!r}).write_text(' '.join(event.stage for event in seen))"
    good = plugin_file(OBSERVER.format(then=write), "good.py")
    bad = plugin_file(OBSERVER.format(then="raise RuntimeError('no disk')"), "bad.py")
    catalog = plugins.load([bad, good])
    first = catalog.emit(StageStarted("encode", "k"))
    assert first == (
        Notice(f"Plugin {bad} failed to observe StageStarted and is not asked again: RuntimeError: no disk"),
    )
    assert catalog.emit(StageStarted("train", "k")) == ()
    assert log.read_text() == "encode train"


def test_the_catalog_cannot_be_changed() -> None:
    catalog = plugins.load()
    with pytest.raises(TypeError):
        catalog.components["objective"]["mine"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        catalog.recipes["mine"] = None  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        catalog.plugins = ()  # type: ignore[misc]


def test_two_catalogs_do_not_know_each_other(plugin_file) -> None:
    plugins.load([plugin_file(SIMPO)])
    assert "simpo" not in plugins.load().classes("objective")
