"""Loading a model with what earlier phases trained, choosing what is trained, and exporting the result."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from langxfer.engine.selection import chosen
from langxfer.engine.store import as_readable
from langxfer.errors import ArtifactError, PluginError, RecipeError

if TYPE_CHECKING:
    from langxfer.components import Selector
    from langxfer.engine.encode import Encoder
    from langxfer.recipe import Compute, Model

TRAINED = "trained.safetensors"
ADAPTER = "adapter"  # folder in an artifact for what a selector writes itself
NOISE = re.compile("drop|jitter")  # attributes of modules that are noise in training mode


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' own progress bars and notices: the run has its own."""
    from transformers.utils import logging as transformers_logging

    logger = logging.getLogger("transformers")
    level, shown = logger.level, transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()


def load_model(
    model: Model,
    folder: Path,
    trained: Sequence[Path],
    compute: Compute,
    device: torch.device,
    *,
    dropout: bool = False,
) -> nn.Module:
    """A causal language model in eval mode, without gradients, with earlier phases' weights applied in order."""
    from transformers import AutoModelForCausalLM

    # auto takes what the model has; what understands packed rows takes the place of sdpa when it is scored.
    attention = {"auto": None, "eager": "eager"}.get(compute.attention, "sdpa")
    options: dict[str, Any] = {"dtype": getattr(torch, model.dtype), "attn_implementation": attention}
    try:
        with quiet():
            network = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=model.trust_remote_code, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RecipeError(
            f"model.source {model.source}: cannot be loaded ({str(error).strip().splitlines()[0]})."
        ) from None
    network.requires_grad_(False).eval()
    if not dropout:
        without_dropout(network)
    for path in trained:
        apply_trained(network, path)
    return network.to(device)


def without_dropout(network: nn.Module) -> None:
    """Dropout of policy and reference would differ: switch it off in modules and in attention."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        rates = [name for name, value in vars(module).items() if NOISE.search(name) and isinstance(value, float)]
        for name in rates:  # attention_dropout, activation_dropout, layerdrop, router_jitter_noise, …
            setattr(module, name, 0.0)


def drops_out(network: nn.Module) -> bool:
    """Whether a dropout module is left that does something: the model's own, or an adapter's."""
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in network.modules())


def recompute_activations(network: nn.Module) -> None:
    """Activation checkpointing: the backward pass of a network in training mode computes each layer again."""
    enable = getattr(network, "activation_checkpointing_enable", None)
    enable = enable or network.gradient_checkpointing_enable  # its name in earlier releases of transformers
    enable({"use_reentrant": False})
    network.disable_input_require_grads()  # else gradients go through frozen layers down to the embeddings, for nothing


def apply_trained(network: nn.Module, path: Path) -> None:
    """Put trained tensors in place. They keep float32, as they had while training.

    Raises:
        ArtifactError: the model lacks some of them, or has others of another shape.
    """
    from safetensors.torch import load_file

    parameters, tensors = dict(network.named_parameters()), load_file(path)
    strange = _strange(tensors, shapes(network))
    if strange:
        raise ArtifactError(
            f"{path}: holds {strange}. The selector that made it has to give the plain model's parameters in finished: "
            "repair it, delete the folder of this file, and run again."
        )
    for name, value in tensors.items():
        parameters[name].data = value.to(parameters[name].device)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter, by name."""
    return {name: tuple(value.shape) for name, value in network.named_parameters()}


def _strange(tensors: Mapping[str, Tensor], plain: Mapping[str, tuple[int, ...]]) -> str | None:
    """What among the tensors is no parameter of the plain model, in words."""
    unknown = [name for name in tensors if name not in plain]
    if unknown:
        return f"{', '.join(unknown[:5])}, which the model lacks"
    for name, value in tensors.items():
        if tuple(value.shape) != plain[name]:
            return f"{name} of shape {list(value.shape)}, which has shape {list(plain[name])} in the model"
    return None


def trainable(network: nn.Module, selector: Selector, seed: int = 0) -> dict[str, nn.Parameter]:
    """Let the selector adapt the model, switch on gradients of what it selects, in float32, and return that by name.

    ``seed`` decides what is drawn for parameters that the selector adds. The network stays in eval mode.

    Raises:
        RecipeError: the selector chose nothing, or names that the model lacks.
        PluginError: what it gave can be read once only.
    """
    selector.adapt(network, seed)
    network.requires_grad_(False).eval()
    parameters = dict(network.named_parameters())
    names = chosen(selector, shapes(network))
    if not isinstance(names, Collection):  # read to its end by now, and nothing is left to be trained
        raise PluginError(
            f'selector "{selector.name}": select gives a {type(names).__name__}; expected a frozenset of names. '
            "This is a fault of the plugin that brings it."
        )
    for name in sorted(names):
        parameters[name].data = parameters[name].data.float()
        parameters[name].requires_grad_(True)
    return {name: parameters[name] for name in parameters if name in names}


def save_trained(parameters: Mapping[str, Tensor], path: Path, plain: Mapping[str, tuple[int, ...]]) -> None:
    """Store trained tensors (float32) by name.

    Args:
        parameters: what the selector's ``finished`` gave.
        path: the file.
        plain: the shapes of the plain model's parameters, before the selector adapted it.

    Raises:
        PluginError: they are something else, or no parameters of the plain model.
    """
    from safetensors.torch import save_file

    if not isinstance(parameters, Mapping):
        raise _not_tensors(type(parameters).__name__)
    wrong = [name for name, value in parameters.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise _not_tensors(f"{wrong[0]!r} with a {type(parameters[wrong[0]]).__name__}")
    strange = _strange(parameters, plain)
    if strange:
        raise _not_tensors(strange)
    tensors: dict[str, Tensor] = {name: value.detach().cpu().contiguous() for name, value in parameters.items()}
    save_file(tensors, path)


def _not_tensors(found: str) -> PluginError:
    return PluginError(
        f"the selector's finished gives {found}; expected a mapping from names of the plain model's parameters to "
        "tensors. This is a fault of the plugin that brings it."
    )


def export(
    model: Model, folder: Path, trained: Sequence[Path], compute: Compute, encoder: Encoder, target: Path
) -> None:
    """Write the adapted model in plain transformers format, with tokenizer, template and generation configuration."""
    from transformers import GenerationConfig

    network = load_model(model, folder, trained, compute, torch.device("cpu"), dropout=True)
    network.to(getattr(torch, model.dtype))
    generation = network.generation_config or GenerationConfig()
    generation.eos_token_id = sorted(encoder.stop_ids)
    network.generation_config = generation
    with quiet():
        network.save_pretrained(target)
        encoder.tokenizer.chat_template = encoder.template.source
        encoder.tokenizer.save_pretrained(target)
    path = target / "config.json"  # the folder it was loaded from means nothing elsewhere
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    as_readable(target, path)
