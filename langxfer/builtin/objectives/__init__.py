"""The built-in objectives: CLO, and the baselines that it is compared with. A file for each.

Each is a few lines over ``langxfer.losses``. What several share lies in ``nll`` and ``pairs``.
"""

from langxfer.builtin.objectives.clo import Clo
from langxfer.builtin.objectives.cpo import Cpo
from langxfer.builtin.objectives.dpo import Dpo
from langxfer.builtin.objectives.kto import Kto
from langxfer.builtin.objectives.orpo import Orpo
from langxfer.builtin.objectives.sft import Sft

__all__ = ["Clo", "Cpo", "Dpo", "Kto", "Orpo", "Sft"]
