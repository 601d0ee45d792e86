"""What translators share: the segment cache, translation memories, models that CTranslate2 runs."""

from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.conversion import convert
from langxfer.translation.ct2 import ComputeType, Ct2Model, Decoding, check_compute_type
from langxfer.translation.memory_files import SUFFIXES, Unit, base_tag, read_units
from langxfer.translation.segment_cache import CachedTranslator, SegmentCache

__all__ = [
    "SUFFIXES",
    "CachedTranslator",
    "Checkpoint",
    "ComputeType",
    "Ct2Model",
    "Decoding",
    "SegmentCache",
    "Unit",
    "base_tag",
    "check_compute_type",
    "convert",
    "read_units",
]
