"""Everything langxfer raises on purpose.

    LangxferError
    ├── RecipeError      the recipe, or an option in it, is wrong           exit code 2
    ├── PluginError      a plugin cannot be used, or two claim one name     exit code 2
    ├── DataError        the user's data cannot be read or used             exit code 2
    ├── ArtifactError    something stored is missing, corrupt or unwritable exit code 1
    └── StageError       a stage failed while running                       exit code 1

A message says where, what was found, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class LangxferError(Exception):
    """Root of all errors that langxfer raises on purpose."""

    exit_code = 1


class RecipeError(LangxferError):
    """One or more things are wrong with a recipe; all of them are shown."""

    exit_code = 2

    def __init__(self, problems: str | Iterable[str]):
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class PluginError(LangxferError):
    """A plugin cannot be loaded, two register the same name, or what one gives is not what is expected of it."""

    exit_code = 2


class DataError(LangxferError):
    """The user's data cannot be read, or nothing usable is left of it."""

    exit_code = 2


class ArtifactError(LangxferError):
    """An artifact is missing, fails its checksums, or cannot be written."""


class StageError(LangxferError):
    """A stage failed while running. What was finished before it is kept.

    Where an exception was the cause that nobody has foreseen, in a plugin or elsewhere, it is ``__cause__``.

    Attributes:
        stage: name of the stage, for instance ``train`` or ``evaluate``.
        key: key of the artifact that was being made.
    """

    def __init__(self, stage: str, key: str, cause: str):
        self.stage, self.key = stage, key
        super().__init__(f"stage {stage} ({key[:12]}) failed: {cause}")
