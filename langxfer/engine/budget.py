"""How many tokens a micro-batch holds when the recipe leaves it open. No result depends on it beyond rounding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from langxfer.engine.memory import FLOAT, Decoder, copies, kept_per_token

if TYPE_CHECKING:
    from torch import nn

    from langxfer.recipe import Compute

CPU_TOKENS = 640  # more do not make a matrix product faster, and take memory
DRIVER = Path("/dev/nvidiactl")  # there when there is a GPU: known without torch
FEWEST, MOST = 512, 16384  # on a GPU; a mask is made from all pairs of tokens, 8 bytes each for a moment
SHARE = 0.8  # of the free memory of a GPU; the rest is for what is not counted


def tokens_per_micro_batch(compute: Compute, network: nn.Module) -> int:
    """The recipe's number, or for ``auto`` the fewest that keep a CPU busy, or what fits into a GPU's free memory."""
    if isinstance(compute.tokens_per_micro_batch, int):
        return compute.tokens_per_micro_batch
    device = next(network.parameters()).device
    if device.type != "cuda":
        return CPU_TOKENS
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return fitting(network, free, compute.activation_checkpointing)


def known_without_torch(compute: Compute) -> int | None:
    """Tokens of a micro-batch as a plan knows them: None where they are what fits into a GPU."""
    if isinstance(compute.tokens_per_micro_batch, int):
        return compute.tokens_per_micro_batch
    return None if expects_gpu(compute) else CPU_TOKENS


def fewest(compute: Compute) -> int:
    """The smallest micro-batch that a GPU of any memory gets."""
    return compute.tokens_per_micro_batch if isinstance(compute.tokens_per_micro_batch, int) else FEWEST


def expects_gpu(compute: Compute) -> bool:
    return compute.device == "cuda" or (compute.device == "auto" and DRIVER.exists())


def fitting(network: nn.Module, free: int, recompute: bool) -> int:
    """Tokens whose activations fit into ``free`` bytes beside gradients, moments and copies in 16 bits."""
    parameters = dict(network.named_parameters())
    learned = {name: value for name, value in parameters.items() if value.requires_grad}
    size = network.config.dtype.itemsize  # what it computes in; trained weights are float32 in any case
    config = network.config.get_text_config().to_dict()
    decoder = Decoder.of(config, {name: tuple(value.shape) for name, value in parameters.items()})
    # Without gradients nothing is kept but what one layer holds at a time.
    each = kept_per_token(decoder, learned, size, recompute) if learned else 8 * size * decoder.inner
    elements = sum(value.numel() for value in learned.values())
    reserved = 3 * FLOAT * elements + copies(elements, size)
    return max(FEWEST, min(MOST, int(SHARE * (free - reserved) / each)))
