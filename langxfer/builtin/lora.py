"""Low-rank adapters (LoRA, arXiv 2106.09685) through peft: two small matrices beside each adapted one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.builtin.layers import LayeredSelector
from langxfer.builtin.parts import EVERY_PROJECTION, Projection, Stack, generic, is_mlp
from langxfer.builtin.patterns import check_patterns, matching
from langxfer.builtin.projections import attention_alone, projection_parameters
from langxfer.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor, nn

ADAPTER = "default"  # what peft calls an adapter without a name
DOWN, UP = f".lora_A.{ADAPTER}.weight", f".lora_B.{ADAPTER}.weight"
WEIGHT = ".weight"
MISSING = 'selector "lora" needs the peft package:  pip install "langxfer[lora]"'

Shapes = Mapping[str, tuple[int, ...]]


class LoraSelector(LayeredSelector):
    """Low-rank adapters (LoRA, arXiv 2106.09685) on matrices of the decoder layers; the model itself stays frozen.

    A matrix W becomes W + s B A with A ``[rank, in]`` and B ``[out, rank]`` in float32, B zero at the start, and
    s = alpha / rank, or alpha / sqrt(rank) with ``rslora`` (arXiv 2312.03732). So the reference is the plain model.
    The artifact holds the adapter in PEFT's own format and W + s B A under the plain model's names: later phases,
    evaluation and export see a plain model. Biases are not trained; the token embedding and the output layer
    are not adapted. Needs ``pip install "langxfer[lora]"``.
    """

    name: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1, description="Rank of the adapters.")
    alpha: float = Field(32.0, gt=0, description="Scale of the adapters, before it is divided by the rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the adapters' input, in training steps alone.")
    rslora: bool = Field(False, description="Divide alpha by the square root of the rank (rank-stabilised LoRA).")
    modules: tuple[Literal["attention", "mlp"], ...] = Field(
        ("attention",), description="Parts of the layers to adapt: attention, mlp, or none but what patterns name."
    )
    projections: tuple[Projection, ...] = Field(
        EVERY_PROJECTION, min_length=1, description="Which projections of attention."
    )
    patterns: tuple[str, ...] = Field(
        (), description="Regular expressions (fullmatch) on names of further modules, such as .*\\.mlp\\.down_proj."
    )

    _patterns = field_validator("patterns")(check_patterns)

    @model_validator(mode="after")
    def _agrees(self) -> LoraSelector:
        if not self.modules and not self.patterns:
            raise ValueError("modules and patterns are both empty, so nothing would be adapted")
        if "attention" not in self.modules and set(self.projections) != set(EVERY_PROJECTION):
            raise ValueError("projections has no effect without attention in modules. Remove one of them")
        return self

    def identity(self) -> dict[str, Any]:
        return {"peft": ".".join(_peft_version().split(".")[:2])}

    def select(self, shapes: Shapes) -> frozenset[str]:
        return frozenset(name for name in shapes if name.endswith((DOWN, UP)))

    def adapted(self, shapes: Shapes) -> dict[str, tuple[int, ...]]:
        """As ``Selector.adapted``. Of a matrix stored as ``[in, out]`` (GPT-2) A and B change sides."""
        targets = self.targets(shapes)
        after: dict[str, tuple[int, ...]] = {}
        for name, shape in shapes.items():
            module, _, leaf = name.rpartition(".")
            after[f"{module}.base_layer.{leaf}" if module in targets else name] = shape
        for module in sorted(targets):
            rows, columns = shapes[module + WEIGHT]
            after |= {module + DOWN: (self.rank, columns), module + UP: (rows, self.rank)}
        return after

    def targets(self, shapes: Shapes) -> frozenset[str]:
        """The modules to adapt, out of the plain model's parameters.

        Raises:
            RecipeError: an option matches nothing, or something that cannot be adapted.
        """
        kept, stack = self.within(shapes), Stack(shapes)
        named = {name.removesuffix(WEIGHT): shape for name, shape in shapes.items() if name.endswith(WEIGHT)}
        found = frozenset(module for module in self._named(shapes, named) if kept(module))
        if not found:
            raise RecipeError(f'selector "{self.name}": nothing to adapt in the chosen layers. {self._offer(named)}')
        for module in sorted(found):
            if stack.layer(module) is None:
                raise RecipeError(
                    f'selector "{self.name}": {module} is not in a decoder layer. The token embedding, the output '
                    "layer and what else is outside the layers cannot be adapted: narrow the patterns."
                )
            if len(named[module]) != 2:
                raise RecipeError(
                    f'selector "{self.name}": {module} has a weight of shape {list(named[module])}, which is no '
                    "matrix, so it cannot be adapted: narrow the patterns."
                )
        return found

    def _named(self, shapes: Shapes, modules: Shapes) -> frozenset[str]:
        """What ``modules`` and ``patterns`` name in all layers."""
        found: set[str] = set(matching(self.name, "patterns", self.patterns, modules))
        for part in self.modules:
            own = self._attention(shapes) if part == "attention" else self._mlp(shapes)
            if not own:
                raise RecipeError(
                    f'selector "{self.name}": modules: {part} matches nothing in this model. {self._offer(modules)}'
                )
            found |= own
        return frozenset(found)

    def _attention(self, shapes: Shapes) -> set[str]:
        names = projection_parameters(self.name, self.projections, shapes)
        return {name.removesuffix(WEIGHT) for name in names if name.endswith(WEIGHT)}

    def _mlp(self, shapes: Shapes) -> set[str]:
        expert = next((name for name in shapes if "experts" in name.split(".")), None)
        if expert:
            raise RecipeError(
                f'selector "{self.name}": modules: mlp cannot be adapted in a mixture of experts ({generic(expert)}). '
                "Use modules: [attention], or patterns for layers outside the experts."
            )
        paths = (name.removesuffix(WEIGHT) for name in shapes if name.endswith(WEIGHT))
        return {path for path in paths if is_mlp(path.split("."))}

    def _offer(self, modules: Shapes) -> str:
        """What there is to adapt, for a message."""
        stack = Stack(modules)
        kinds = sorted({generic(m) for m, shape in modules.items() if len(shape) == 2 and stack.layer(m) is not None})
        return f"Its matrices are: {', '.join(kinds) or 'none that lie in layers'}."

    def advice(self, languages: Sequence[str]) -> tuple[str, ...]:
        alone = self.modules == ("attention",) and not self.patterns
        return attention_alone(languages) if alone else ()

    def adapt(self, network: nn.Module, seed: int) -> None:
        _peft_version()
        import torch
        from peft import LoraConfig, inject_adapter_in_model
        from torch import nn
        from transformers.pytorch_utils import Conv1D

        shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
        targets = sorted(self.targets(shapes))
        layers = {name: network.get_submodule(name) for name in targets}
        odd = next((name for name, layer in layers.items() if not isinstance(layer, nn.Linear | Conv1D)), None)
        if odd:
            raise RecipeError(
                f'selector "{self.name}": {odd} is a {type(layers[odd]).__name__}, and only linear layers can be '
                "adapted. Leave it out with modules and patterns."
            )
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type] (a whole number in peft's annotation alone)
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            target_modules=targets,
            fan_in_fan_out=isinstance(layers[targets[0]], Conv1D),
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):  # peft draws too, and moves torch's own generator
            inject_adapter_in_model(config, network, ADAPTER)
        _start(network, targets, seed)
        found = {name for name, _ in network.named_parameters()}
        if found != self.adapted(shapes).keys():
            extra = sorted(found ^ self.adapted(shapes).keys())
            raise RecipeError(f'selector "{self.name}": peft adapted other modules than these: {", ".join(extra[:3])}.')

    def finished(self, network: nn.Module, parameters: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
        import torch

        targets = sorted(name.removesuffix(DOWN) for name in parameters if name.endswith(DOWN))
        _save(network, parameters, targets, folder)
        merged: dict[str, Tensor] = {}
        with torch.no_grad():
            for name in targets:
                layer: Any = network.get_submodule(name)
                merged[name + WEIGHT] = layer.base_layer.weight.float() + layer.get_delta_weight(ADAPTER)
        return merged


def _peft_version() -> str:
    """The installed version of peft.

    Raises:
        RecipeError: there is none; the message has the command that installs it.
    """
    try:
        return version("peft")
    except PackageNotFoundError:
        raise RecipeError(MISSING) from None


def _start(network: nn.Module, targets: Sequence[str], seed: int) -> None:
    """A is drawn from the seed alone, as ``nn.Linear`` draws its weight; B is zero. Both in float32."""
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    for name in targets:
        layer: Any = network.get_submodule(name)
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        drawn = nn.init.kaiming_uniform_(torch.empty(down.shape), a=math.sqrt(5), generator=generator)
        down.data = drawn.to(down.device)
        up.data = torch.zeros(up.shape, device=up.device)


def _save(network: Any, parameters: Mapping[str, Tensor], targets: list[str], folder: Path) -> None:
    """The adapter in PEFT's format: ``adapter_config.json``, ``adapter_model.safetensors``."""
    from copy import copy

    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = copy(network.peft_config[ADAPTER])
    config.target_modules = targets  # whole names in a fixed order; peft keeps a set
    config.base_model_name_or_path, config.inference_mode = None, True  # the place it was loaded from means nothing
    config.save_pretrained(folder)
    tensors = {
        f"base_model.model.{name.removesuffix(f'.{ADAPTER}{WEIGHT}')}{WEIGHT}": value.detach().cpu().contiguous()
        for name, value in parameters.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors")
