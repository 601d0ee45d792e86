"""Two oracles in one process: transformers without any of our code, and the matmul rate of the machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from langxfer.data import View
from tests.benchmarks.job import Channel, Job

ROWS = 2048  # of the matmuls
REPEATS = 2


class Plain:
    """A model as transformers loads it; every response is scored by a forward pass of its own."""

    def __init__(self, job: Job):
        from transformers import AutoModelForCausalLM

        self._batch = job.batches()[0]
        self._network = AutoModelForCausalLM.from_pretrained(Path(job.model_folder), dtype=torch.float32).eval()

    def facts(self) -> dict[str, Any]:
        return {}

    def serve(self, channel: Channel) -> None:
        answers = {"step": lambda: {"rate": self.matmul_rate()}, "logps": lambda: {"logps": self.logps()}}
        for request in channel.requests():
            channel.answer(**answers[request["do"]]())

    @torch.no_grad()
    def logps(self) -> dict[str, dict[str, list[float]]]:
        """Per-token log-probabilities of the first batch, by example id and view, in nats."""
        found: dict[str, dict[str, list[float]]] = {}
        for example in self._batch:
            own = found.setdefault(example.id, {})
            for view in View:
                prompt, response = example.prompts[view.prompt], example.responses[view]
                logits = self._network(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0]
                scored = logits[len(prompt) - 1 : -1].log_softmax(-1)
                own[view.value] = scored.gather(-1, torch.tensor(response)[:, None])[:, 0].tolist()
        return found

    @torch.no_grad()
    def matmul_rate(self) -> float:
        """FLOP/s of the matmuls of one decoder layer with 2048 rows, the better of two."""
        config = self._network.config.get_text_config()
        layer = [value for name, value in self._network.named_parameters() if ".layers.0." in name and value.ndim == 2]
        assert layer, f"{config.model_type} has no layer 0"
        inputs = {width: torch.randn(ROWS, width) for width in {value.shape[1] for value in layer}}
        best = 0.0
        for _ in range(REPEATS):
            began = time.perf_counter()
            for value in layer:
                inputs[value.shape[1]] @ value.T
            flops = sum(2.0 * ROWS * value.numel() for value in layer)
            best = max(best, flops / (time.perf_counter() - began))
        return best
