"""TRL 1.16's DPOTrainer: in its best configuration for this work, and with its defaults.

The trainer runs its own loop; a callback measures each optimizer step and then waits for the next
request. Token ids are ours, so nothing is tokenised twice, and data loading is not timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor
from transformers import AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

from langxfer.data import View
from langxfer.engine import reference
from langxfer.engine.encode import Encoded
from langxfer.recipe import Training
from tests.benchmarks.job import Channel, Job, StepMeter, Totals, release, view_pairs
from tests.benchmarks.ours import load_policy

DEFAULT_ROWS = 8  # DPOConfig's per_device_train_batch_size
MANY_STEPS = 1000  # more than are asked for
LAMBDA = 0.5  # of CLO's default; its preference is a sum over two prompt languages, TRL's loss a mean over rows
ONE_ROW = [{"prompt": "a", "chosen": "b", "rejected": "c"}]  # replaced by the token ids before training

Row = dict[str, Any]


def totals(job: Job) -> Totals:
    """Reference log-probabilities of the job's responses, summed over tokens."""
    found = reference.read(job.references(), job.examples(), list(View))
    return {name: {view: scores.sum().item() for view, scores in own.items()} for name, own in found.items()}


def rows_of(examples: Sequence[Encoded], references: Totals | None) -> list[Row]:
    """Two preference rows of an example, one for each language of the prompt, with references if there are any."""
    rows = []
    for example in examples:
        for chosen, rejected in view_pairs():
            row: Row = {"prompt_ids": example.prompts[chosen.prompt]}
            for name, view in (("chosen", chosen), ("rejected", rejected)):
                row[f"{name}_ids"] = example.responses[view]
                if references is not None:
                    row[f"ref_{name}_logps"] = references[example.id][view]
            rows.append(row)
    return rows


def row_length(row: Row) -> int:
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def best_settings(job: Job, rows: int) -> dict[str, Any]:
    """What makes TRL fastest here without changing its result; what else was tried is in the README."""
    return {
        "per_device_train_batch_size": job.micro_batch or rows,
        "precompute_ref_log_probs": True,
        "loss_type": ["sigmoid", "sft"],
        "loss_weights": [2 * (1 - LAMBDA), LAMBDA],
        "gradient_checkpointing": False,
        "max_length": None,
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "lr_scheduler_type": "constant",
        "torch_compile": job.compiled,
    }


def default_settings(job: Job, rows: int) -> dict[str, Any]:
    """TRL's defaults: a live reference model, gradient checkpointing, eight rows at a time, the sigmoid loss alone."""
    return {"per_device_train_batch_size": job.micro_batch or min(DEFAULT_ROWS, rows)}


def config(job: Job, folder: str) -> DPOConfig:
    """Settings of the job's kind, and what all contenders share: float32 on CPU, optimizer, order, threads."""
    rows = 2 * job.batch
    own = best_settings(job, rows) if job.kind == "trl_best" else default_settings(job, rows)
    micro_batch = own["per_device_train_batch_size"]
    if rows % micro_batch:
        raise ValueError(f"{rows} preference rows of a step cannot be split into micro-batches of {micro_batch}")
    training = Training()
    return DPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        gradient_accumulation_steps=rows // micro_batch,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        adam_beta1=training.beta1,
        adam_beta2=training.beta2,
        adam_epsilon=training.epsilon,
        max_grad_norm=training.max_grad_norm,
        max_steps=MANY_STEPS,
        train_sampling_strategy="sequential",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **own,
    )


class OneStepAtATime(TrainerCallback):
    """Measures each optimizer step, answers, and waits for the next request."""

    def __init__(self, channel: Channel, requests: Iterator[dict[str, Any]]):
        self._channel, self._requests, self._meter = channel, requests, StepMeter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._meter.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._channel.answer(**self._meter.stop())
        control.should_training_stop = next(self._requests, None) is None  # nothing but steps is asked for by now


class Peer:
    """A DPOTrainer over the job's token ids."""

    def __init__(self, job: Job):
        datasets.disable_progress_bars()
        self._network, self._parameters, self._memory = load_policy(job)
        self._references = totals(job) if job.kind == "trl_best" else None
        self._first = job.batches()[0]
        self._folder = tempfile.TemporaryDirectory()
        self._config = config(job, self._folder.name)
        self._trainer = DPOTrainer(
            self._network,
            args=self._config,
            train_dataset=datasets.Dataset.from_list(ONE_ROW),
            processing_class=AutoTokenizer.from_pretrained(job.model_folder),
        )
        batches = [rows_of(batch, self._references) for batch in job.batches()]
        if job.kind == "trl_best":  # rows of like length share a micro-batch: less padding, the same step
            batches = [sorted(rows, key=row_length, reverse=True) for rows in batches]
        self._trainer.train_dataset = datasets.Dataset.from_list([row for rows in batches for row in rows])
        release()

    def facts(self) -> dict[str, Any]:
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "loss_type")
        names += ("loss_weights", "precompute_ref_log_probs", "max_length", "torch_compile")
        settings = {name: getattr(self._config, name) for name in names} | {"optim": str(self._config.optim.value)}
        return {"memory": self._memory, "settings": settings}

    def serve(self, channel: Channel) -> None:
        requests = channel.requests()
        for request in requests:
            if request["do"] == "step":
                self._trainer.add_callback(OneStepAtATime(channel, requests))
                self._trainer.train()
                return
            if request["do"] == "logps":
                channel.answer(logps=self.logps())
            else:
                self.save_gradients(request["pairs"], Path(request["path"]))
                channel.answer()
                release()

    @torch.no_grad()
    def logps(self) -> dict[str, dict[str, list[float]]]:
        """Per-token log-probabilities of the first batch by TRL's own forward pass, by example id and view, in nats."""
        found: dict[str, dict[str, list[float]]] = {}
        for example in self._first:
            inputs = self._trainer.data_collator(rows_of([example], None))
            scored = inputs.pop("completion_mask")
            labels = inputs["input_ids"].masked_fill(scored == 0, -100)
            output = self._trainer.model(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
            views = [chosen for chosen, _ in view_pairs()] + [rejected for _, rejected in view_pairs()]
            for view, values, mask in zip(views, output.log_probs, scored[:, 1:].bool(), strict=True):
                found.setdefault(example.id, {})[view.value] = values[mask].tolist()
        return found

    def save_gradients(self, pairs: int, path: Path) -> None:
        """Gradients of TRL's loss of the first ``pairs`` examples in one micro-batch, by parameter name."""
        from safetensors.torch import save_file

        self._trainer.model.train()
        inputs = self._trainer.data_collator(rows_of(self._first[:pairs], self._references))
        self._trainer.compute_loss(self._trainer.model, inputs).backward()
        own: dict[str, Tensor] = {name: value.grad for name, value in self._parameters.items()}
        save_file(own, path)
        self._trainer.model.zero_grad()
