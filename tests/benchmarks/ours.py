"""langxfer's own contenders: CLO with its defaults, and SFT on the same pairs, through the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.builtin.objectives import Clo, Sft
from langxfer.builtin.selectors import AttentionSelector
from langxfer.components import Objective
from langxfer.data import View
from langxfer.engine import reference, weights
from langxfer.engine.budget import tokens_per_micro_batch
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.runtime import Runtime
from langxfer.engine.step import Examples, Step
from langxfer.engine.train import parameter_groups, room_for_gradients
from langxfer.recipe import Compute, Model, Training
from tests.benchmarks.job import Channel, Job, StepMeter, own_memory, release

Gradients = Callable[[Sequence[Encoded], Objective], float]
PLAIN_LOSS = Clo(nll_views=("SS", "TT"))  # what TRL can be asked for: its NLL covers both prompt languages


def load_policy(job: Job) -> tuple[nn.Module, dict[str, nn.Parameter], dict[str, int]]:
    """The model with gradients on the attention projections alone, those by name, and ``own_memory``."""
    model = Model.model_validate(job.model)
    network = weights.load_model(model, Path(job.model_folder), [], Compute(device="cpu"), torch.device("cpu"))
    parameters = weights.trainable(network, AttentionSelector())
    return network, parameters, own_memory(network)


def engine_of(network: nn.Module, job: Job) -> tuple[Scorer, Gradients]:
    """The engine's scorer, and (examples, objective) -> loss that leaves gradients: all that touches the engine.

    The references of all examples are made here by the first process that needs them.
    """
    compute = Compute(device="cpu", threads=job.threads)
    scorer = Scorer(network, compute.layout)
    budget = tokens_per_micro_batch(compute, network)
    references = None
    if job.kind == "clo":
        if not job.references().exists():
            job.references().mkdir()
            reference.write_parts(job.references(), scorer, job.examples(), list(View), budget)
        references = reference.read(job.references(), job.examples(), list(View))
    runtime = Runtime(compute)

    def gradients(batch: Sequence[Encoded], objective: Objective) -> float:
        return Step(scorer, objective, runtime, budget).run(Examples(batch, references), learn=True)["loss"]

    return scorer, gradients


class Ours:
    """CLO or SFT: the gradients of a batch, clipped, and AdamW, as ``engine.train`` does it."""

    def __init__(self, job: Job):
        self._network, self._parameters, self._memory = load_policy(job)
        self._scorer, self._gradients = engine_of(self._network, job)
        self._objective: Objective = Clo() if job.kind == "clo" else Sft()
        self._batches = job.batches()
        training = Training()
        self._optimizer = torch.optim.AdamW(
            parameter_groups(self._parameters, training),
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            eps=training.epsilon,
        )
        room_for_gradients(list(self._parameters.values()))
        self._max_norm = training.max_grad_norm or float("inf")
        self._meter, self._steps = StepMeter(), 0
        release()

    def facts(self) -> dict[str, Any]:
        return {"memory": self._memory}

    def serve(self, channel: Channel) -> None:
        for request in channel.requests():
            if request["do"] == "step":
                channel.answer(**self.step())
            elif request["do"] == "logps":
                channel.answer(logps=self.logps())
            else:
                self.save_gradients(request["pairs"], Path(request["path"]))
                channel.answer()
                release()

    def step(self) -> dict[str, float]:
        """One optimizer step on the next batch."""
        batch = self._batches[self._steps % len(self._batches)]
        self._meter.start()
        loss = self._gradients(batch, self._objective)
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), self._max_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self._steps += 1
        return {**self._meter.stop(), "loss": loss}

    def logps(self) -> dict[str, dict[str, list[float]]]:
        """Per-token log-probabilities of the first batch, by example id and view, in nats."""
        found: dict[str, dict[str, list[float]]] = {}
        with torch.no_grad():
            for example in self._batches[0]:
                scores = self._scorer.score(self._scorer.units([example], list(View)))
                found[example.id] = {view.value: values.tolist() for _, view, values in scores}
        return found

    def save_gradients(self, pairs: int, path: Path) -> None:
        """Gradients of the loss that TRL has too, of the first ``pairs`` examples, by parameter name."""
        from safetensors.torch import save_file

        self._gradients(self._batches[0][:pairs], PLAIN_LOSS)
        own: dict[str, Tensor] = {name: value.grad for name, value in self._parameters.items()}
        save_file(own, path)
        self._optimizer.zero_grad(set_to_none=False)
