"""What translators share: the pipeline, the segment cache, translation memories, models that CTranslate2 runs."""

from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.conversion import convert
from langxfer.translation.ct2 import ComputeType, Ct2Model, Decoding, check_compute_type
from langxfer.translation.faults import fault
from langxfer.translation.memory_files import SUFFIXES, Unit, base_tag, read_units
from langxfer.translation.neural import Ct2Translator
from langxfer.translation.pipeline import Counts, Document, Pipeline, open_pipeline
from langxfer.translation.segment_cache import SegmentCache
from langxfer.translation.sentences import split_further, split_sentences
from langxfer.translation.skeleton import Skeleton, take_apart

__all__ = [
    "SUFFIXES",
    "Checkpoint",
    "ComputeType",
    "Counts",
    "Ct2Model",
    "Ct2Translator",
    "Decoding",
    "Document",
    "Pipeline",
    "SegmentCache",
    "Skeleton",
    "Unit",
    "base_tag",
    "check_compute_type",
    "convert",
    "fault",
    "open_pipeline",
    "read_units",
    "split_further",
    "split_sentences",
    "take_apart",
]
