"""What translators share: the segment cache, translation memories, models that CTranslate2 runs."""

from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.ct2 import ComputeType, Ct2Model, Decoding, check_compute_type, convert
from langxfer.translation.memory_files import SUFFIXES, Unit, base_tag, read_units
from langxfer.translation.segment_cache import CachedTranslator, SegmentCache
from langxfer.translation.sentences import split_further, split_sentences
from langxfer.translation.skeleton import Skeleton, take_apart

__all__ = [
    "SUFFIXES",
    "CachedTranslator",
    "Checkpoint",
    "ComputeType",
    "Ct2Model",
    "Decoding",
    "SegmentCache",
    "Skeleton",
    "Unit",
    "base_tag",
    "check_compute_type",
    "convert",
    "read_units",
    "split_further",
    "split_sentences",
    "take_apart",
]
