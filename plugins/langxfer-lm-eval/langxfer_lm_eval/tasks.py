"""Tasks of lm-evaluation-harness: loaded, and the requests that they make."""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lm_eval.api.instance import Instance

FEWSHOT_SEED = 1234  # that of lm_eval.simple_evaluate


@dataclass(frozen=True)
class Wanted:
    """What is evaluated.

    Attributes:
        folder: of more tasks, as YAML.
        chat: whether each request is a user's turn.
    """

    tasks: tuple[str, ...]
    folder: str | None
    num_fewshot: int | None
    limit: int | None
    chat: bool

    def load(self) -> dict[str, Any]:
        """The tasks as lm-eval loads them.

        Raises:
            DataError: there is no such task, or its data cannot be read.
        """
        with errors_named("cannot load the tasks " + ", ".join(self.tasks)):
            if self.folder is not None and not Path(self.folder).is_dir():
                raise DataError(f"lm_eval.include_path: there is no folder {self.folder}.")
            manager = self._manager()
            if unknown := [name for name in self.tasks if name not in manager.all_tasks]:
                raise DataError(
                    f"lm_eval.tasks: lm-eval has no task {', '.join(unknown)}. `lm-eval ls tasks` lists them; "
                    "include_path names a folder with tasks of your own."
                )
            loaded = manager.load(list(self.tasks))
            for task in loaded["tasks"].values():
                if self.num_fewshot is not None and task.get_config("num_fewshot") != 0:
                    task.set_config(key="num_fewshot", value=self.num_fewshot)
                elif task.get_config("num_fewshot") is None:
                    task.set_config(key="num_fewshot", value=0)
                task.set_fewshot_seed(seed=FEWSHOT_SEED)
        return loaded

    def _manager(self) -> Any:
        """The tasks that there are. The harness's own are thousands of files, and read only if they are needed."""
        from lm_eval.tasks import TaskManager

        if self.folder is None:
            return _own_tasks()
        alone = TaskManager(include_path=self.folder, include_defaults=False)
        return alone if set(self.tasks) <= set(alone.all_tasks) else TaskManager(include_path=self.folder)

    def requests(self, tasks: Mapping[str, Any]) -> list[Instance]:
        """All requests of loaded tasks, in order.

        Raises:
            DataError: a task's requests cannot be built, or it needs what evidence does not have.
        """
        from lm_eval.evaluator_utils import get_sample_size

        found: list[Instance] = []
        for name, task in tasks.items():
            _check(name, task)
            with errors_named(f"cannot build the requests of task {name}"):
                random.seed(0)
                task.build_all_requests(
                    limit=get_sample_size(task, self.limit),
                    rank=0,
                    world_size=1,
                    apply_chat_template=self.chat,
                    chat_template=users_turn if self.chat else None,
                    tokenizer_name="langxfer" if self.chat else "",
                )
            found += task.instances
        return found


@cache
def _own_tasks() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def settings_of(name: str, task: Any) -> dict[str, Any]:
    """All settings of a task: what it scores and how, too. The place that it was read from is none of them."""
    with errors_named(f"cannot read the settings of task {name}"):
        settings: dict[str, Any] = task.dump_config()
    metadata = settings.get("metadata")
    if isinstance(metadata, dict):
        settings["metadata"] = {key: value for key, value in metadata.items() if key != "config_source"}
    return settings


def ignores_greedy(task: Any) -> bool:
    """Whether a task's metrics make nothing of whether an option is what greedy decoding gives."""
    return task.OUTPUT_TYPE == "multiple_choice" and not callable(task.config.process_results)


def users_turn(history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
    """The text of a conversation that is one user's turn: the engine puts the model's template around it."""
    if len(history) != 1 or history[0]["role"] != "user" or not add_generation_prompt:
        roles = ", ".join(turn["role"] for turn in history)
        raise DataError(
            f"lm_eval.chat: a task asks for the turns {roles}; only one turn of the user is supported. Set chat: false."
        )
    return history[0]["content"]


@contextmanager
def errors_named(what: str) -> Iterator[None]:
    """Whatever lm-eval or a task of it raises becomes a sentence; its log stays quiet."""
    import logging

    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # tasks run code of their own
        raise DataError(f"lm_eval: {what} ({type(error).__name__}: {error}).") from error
    finally:
        logger.setLevel(level)


def _check(name: str, task: Any) -> None:
    """Refuse early what would fail after the model has worked."""
    metrics = getattr(task, "_metric_fn_list", {})
    if {"loglikelihood": "acc", "multiple_choice": "exact_match"}.get(task.OUTPUT_TYPE) in metrics:
        reason = "whether a text is the likeliest, token by token"
    elif getattr(task, "MULTIMODAL", False):
        reason = "images"
    elif getattr(task, "UNSAFE_CODE", False):
        reason = "to run code that a model wrote"
    else:
        return
    raise DataError(f"lm_eval.tasks: {name} needs {reason}, which is not supported. Leave it out.")
