"""What translators share: the pipeline, the segment cache, translation memories, models that CTranslate2 runs."""

from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.ct2 import ComputeType, Ct2Model, Decoding, check_compute_type, convert
from langxfer.translation.faults import fault
from langxfer.translation.memory_files import SUFFIXES, Unit, base_tag, read_units
from langxfer.translation.pipeline import Counts, Document, Pipeline, open_pipeline
from langxfer.translation.segment_cache import SegmentCache

__all__ = [
    "SUFFIXES",
    "Checkpoint",
    "ComputeType",
    "Counts",
    "Ct2Model",
    "Decoding",
    "Document",
    "Pipeline",
    "SegmentCache",
    "Unit",
    "base_tag",
    "check_compute_type",
    "convert",
    "fault",
    "open_pipeline",
    "read_units",
]
