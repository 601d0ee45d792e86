"""Find the plugins, ask each what it adds, and give the answer as one immutable catalog.

There is no plugin manager beyond a call of ``load``: the catalog is passed on as an argument.
Every plugin is asked by itself, so one that cannot be loaded is listed and harms no other.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal, get_args, get_origin

import pluggy
from pydantic import PydanticUserError

from langxfer import hookspecs
from langxfer.components import KINDS, Component
from langxfer.components.component import PLUGIN_FILE
from langxfer.errors import PluginError
from langxfer.events import Event, Notice

GROUP = "langxfer"
BUILT_IN = "langxfer.builtin"


@dataclass(frozen=True)
class Registration:
    """A component class, and the distribution (or plugin file) that brought it."""

    cls: type[Component]
    distribution: str
    version: str


@dataclass(frozen=True)
class PluginInfo:
    """What ``langxfer plugins`` shows of a plugin.

    Attributes:
        name: its distribution, or the path of a ``--plugin`` file.
        version: of the distribution; empty where there is none.
        source: ``built-in``, ``entry point``, or the path of a ``--plugin`` file.
        words: kind (``recipe`` among them) -> the names it adds.
        error: why it cannot be used, in one sentence; None when all is well.
        sha256: of a ``--plugin`` file, to be recorded with the run.
    """

    name: str
    version: str
    source: str
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: str | None = None
    sha256: str | None = None


def grouped(names: Collection[str]) -> list[str]:
    """Names of recipes for people: of those in a folder, how many there are."""
    folders = Counter(name.partition("/")[0] for name in names if "/" in name)
    plain = [name for name in names if "/" not in name]
    return [*plain, *(f"{folder}/… ({count})" for folder, count in folders.items())]


@dataclass(frozen=True)
class Catalog:
    """The words that are installed, and the observers. Made by ``load``, never changed."""

    components: Mapping[str, Mapping[str, Registration]]
    recipes: Mapping[str, tuple[Path, str]]
    plugins: tuple[PluginInfo, ...]
    observers: tuple[tuple[str, Callable[[Event], object]], ...] = ()
    _silenced: set[str] = field(default_factory=set, repr=False, compare=False)
    narrowings: dict[type, type] = field(default_factory=dict, repr=False, compare=False)  # see ``narrowing``

    def classes(self, kind: str) -> dict[str, type[Component]]:
        """Name -> class of a kind, sorted by name."""
        return {name: found.cls for name, found in self.components[kind].items()}

    def lookup(self, kind: str, name: str) -> Registration:
        """Who brought the component ``name``.

        Raises:
            PluginError: there is no such kind, or nothing of that name is installed.
        """
        if kind not in self.components:
            raise PluginError(f'"{kind}" is no kind of component. Kinds: {", ".join(self.components)}.')
        if name not in self.components[kind]:
            near = difflib.get_close_matches(name, self.components[kind], 1)
            advice = f' Did you mean "{near[0]}"?' if near else ""
            installed = ", ".join(self.components[kind]) or "none"
            raise PluginError(f'{kind} "{name}" is not installed.{advice}  Installed: {installed}.')
        return self.components[kind][name]

    def emit(self, event: Event) -> tuple[Notice, ...]:
        """Show an event to every observer.

        An observer that raises does not stop the run. It is not asked again, and a notice for the
        user says so, once.
        """
        notices = []
        for plugin, observer in self.observers:
            if plugin in self._silenced:
                continue
            try:
                observer(event)
            except Exception as error:
                self._silenced.add(plugin)
                name = type(event).__name__
                notices.append(
                    Notice(f"Plugin {plugin} failed to observe {name} and is not asked again: {_cause(error)}")
                )
        return tuple(notices)


@dataclass(frozen=True)
class _Answers:
    """What one plugin adds."""

    components: Sequence[type[Component]] = ()
    recipes: Mapping[str, Path] = field(default_factory=dict)
    observer: Callable[[Event], object] | None = None

    def words(self) -> dict[str, tuple[str, ...]]:
        by_kind = {kind.kind: tuple(word(cls) for cls in self.components if issubclass(cls, kind)) for kind in KINDS}
        by_kind["recipe"] = tuple(self.recipes)
        return {kind: names for kind, names in by_kind.items() if names}


def load(files: Path | str | Sequence[Path | str] = ()) -> Catalog:
    """Built-in words, those of installed plugins, and those of ``files`` (``--plugin``).

    Raises:
        PluginError: a file is missing or cannot be used, or two plugins claim one name.
    """
    paths = [files] if isinstance(files, str | Path) else files
    found = [*_installed(), *(_from_file(path) for path in dict.fromkeys(Path(path).resolve() for path in paths))]
    components: dict[str, dict[str, Registration]] = {kind.kind: {} for kind in KINDS}
    recipes: dict[str, tuple[Path, str]] = {}
    owners: dict[tuple[str, str], str] = {}
    for info, answers in found:
        for kind, names in info.words.items():
            for name in names:
                if (kind, name) in owners:
                    both = f"by {owners[kind, name]} and by {info.name}"
                    raise PluginError(
                        f'{kind} "{name}" is registered twice: {both}. Uninstall or leave out one of them.'
                    )
                owners[kind, name] = info.name
        for cls in answers.components:
            components[cls.kind][word(cls)] = Registration(cls, info.name, info.version)
        recipes.update({name: (path, info.name) for name, path in answers.recipes.items()})
    return Catalog(
        MappingProxyType({kind: MappingProxyType(dict(sorted(words.items()))) for kind, words in components.items()}),
        MappingProxyType(dict(sorted(recipes.items()))),
        tuple(info for info, _ in found),
        tuple((info.name, answers.observer) for info, answers in found if answers.observer),
    )


def version_of(distribution: str) -> str:
    """The installed version of a distribution; empty when it is not installed (a source tree, for instance)."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def word(cls: type[Component]) -> str:
    """The name of a component class in recipes."""
    return str(cls.model_fields["name"].default)


def _installed() -> Iterator[tuple[PluginInfo, _Answers]]:
    built_in = PluginInfo("langxfer", version_of("langxfer"), "built-in")
    yield _isolated(built_in, lambda: importlib.import_module(BUILT_IN))
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.name, "")
        yield _isolated(PluginInfo(name, version, "entry point"), entry.load)


def _isolated(info: PluginInfo, import_plugin: Callable[[], Any]) -> tuple[PluginInfo, _Answers]:
    try:
        answers = _ask(import_plugin())
    except (Exception, SystemExit) as error:
        return PluginInfo(info.name, info.version, info.source, error=_cause(error), sha256=info.sha256), _Answers()
    return PluginInfo(info.name, info.version, info.source, answers.words(), sha256=info.sha256), answers


def _from_file(path: Path) -> tuple[PluginInfo, _Answers]:
    """A plugin that the user named: nobody wants to go on without it, so a failure is an error."""
    try:
        code = path.read_bytes()
    except OSError as error:
        raise PluginError(f"--plugin {path} cannot be read: {error.strerror}. Expected a Python file.") from None
    sha256 = hashlib.sha256(code).hexdigest()
    info, answers = _isolated(PluginInfo(str(path), "", str(path), sha256=sha256), lambda: _run(path, code, sha256))
    if info.error:
        raise PluginError(f"--plugin {path} cannot be used: {info.error}")
    return info, answers


def _run(path: Path, code: bytes, sha256: str) -> ModuleType:
    """Run the very bytes that were hashed, as a module under a private name."""
    name = f"{PLUGIN_FILE}{sha256[:16]}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # pydantic looks a class's module up here to resolve its annotations
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _ask(plugin: Any) -> _Answers:
    """Call each hook of one plugin. A pluggy manager of its own keeps it from touching any other."""
    manager = pluggy.PluginManager("langxfer")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name="plugin")
    known = [name for name in dir(hookspecs) if manager.parse_hookspec_opts(hookspecs, name) is not None]
    for name in dir(plugin):
        if manager.parse_hookimpl_opts(plugin, name) is not None and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            advice = f" Did you mean {near[0]}?" if near else ""
            raise PluginError(f"{name} is not a hook.{advice}  Hooks: {', '.join(known)}.")
    if not manager.get_hookcallers(plugin):
        raise PluginError(_nothing_in(plugin, known))
    components = [cls for kind in KINDS for cls in _ask_kind(manager, kind)]
    recipes = _ask_recipes(manager)
    observes = bool(manager.hook.observe.get_hookimpls())
    return _Answers(components, recipes, (lambda event: manager.hook.observe(event=event)) if observes else None)


def _nothing_in(plugin: Any, known: Collection[str]) -> str:
    """What to say of a plugin without any hook, the mark of which is easily forgotten."""
    own = [name for name, value in inspect.getmembers(plugin, inspect.isfunction)]
    alike = [name for name in own if name in known or name.startswith("register_")]
    if alike:
        return f"it registers nothing: {', '.join(alike)} lacks @hookimpl. Put it above each hook."
    return f"it registers nothing. Expected Python with functions that are marked @hookimpl: {', '.join(known)}."


def _call(manager: pluggy.PluginManager, hook: str) -> Any:
    """The plugin's answer to a hook; None when it has no such hook or answers None."""
    try:
        answers = getattr(manager.hook, hook)()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{hook} raised {_cause(error)}") from error
    return answers[0] if answers else None


def _ask_kind(manager: pluggy.PluginManager, kind: type[Component]) -> list[type[Component]]:
    hook = f"register_{kind.kind}s"
    answer = _call(manager, hook) or []
    if not isinstance(answer, list | tuple):
        raise PluginError(f"{hook} returned {answer!r}; expected a list of {kind.__name__} classes.")
    for cls in answer:
        problem = _class_problem(cls, kind)
        if problem:
            raise PluginError(f"{hook} returned {getattr(cls, '__name__', repr(cls))}, {problem}.")
    return list(answer)


def _ask_recipes(manager: pluggy.PluginManager) -> dict[str, Path]:
    answer = _call(manager, "register_recipes") or {}
    if not isinstance(answer, Mapping):
        raise PluginError(f"register_recipes returned {answer!r}; expected a mapping from name to path.")
    for name, path in answer.items():
        if not isinstance(name, str) or not isinstance(path, Path) or not path.is_file():
            raise PluginError(
                f"register_recipes returned {name!r}: {str(path)!r}; expected a name and a Path of a file."
            )
    return dict(answer)


def _class_problem(cls: Any, kind: type[Component]) -> str | None:
    """What keeps ``cls`` from being a component of ``kind``, as the end of a sentence."""
    if not (isinstance(cls, type) and issubclass(cls, kind)):
        return f"which is not a subclass of {kind.__name__}"
    try:
        cls.model_rebuild()
    except (NameError, PydanticUserError) as error:
        return f"whose annotations cannot be resolved when it is used: {str(error).splitlines()[0]}"
    literal = cls.model_fields["name"].annotation
    names = get_args(literal) if get_origin(literal) is Literal else ()
    if (
        len(names) != 1
        or cls.model_fields["name"].default != names[0]
        or not re.fullmatch(r"[a-z0-9][\w.-]*", names[0])
    ):
        return 'which needs a name of its own, such as: name: Literal["simpo"] = "simpo" (lower case, no spaces)'
    if inspect.isabstract(cls):
        return f"which leaves out {', '.join(sorted(cls.__abstractmethods__))}"
    if cls.model_config.get("extra") != "forbid" or not cls.model_config.get("frozen"):
        return 'whose model_config must keep frozen=True and extra="forbid"'
    return None


def _cause(error: BaseException) -> str:
    """An exception as one sentence on one line."""
    if isinstance(error, PluginError):
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, pluggy.PluginValidationError):
        return f"a hook does not have the arguments that {GROUP} calls it with. {text}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
