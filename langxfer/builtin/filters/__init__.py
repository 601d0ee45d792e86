"""Filters of parallel examples, one file a family. An example stays or goes in all four views.

What is longer than ``data.max_length`` tokens is not their business: encoding drops or cuts it (``data.too_long``), and
counts it. Nor is a translation that does not exist or is blank: it becomes no example at all.
"""

from langxfer.builtin.filters.alphanumeric import Alphanumeric
from langxfer.builtin.filters.empty import Empty
from langxfer.builtin.filters.identical import Identical
from langxfer.builtin.filters.language import LanguageFilter
from langxfer.builtin.filters.language_task import LanguageTask
from langxfer.builtin.filters.length_ratio import LengthRatio
from langxfer.builtin.filters.preserved import Preserved
from langxfer.builtin.filters.repetition import Repetition
from langxfer.builtin.filters.untranslated import Untranslated

__all__ = [
    "Alphanumeric",
    "Empty",
    "Identical",
    "LanguageFilter",
    "LanguageTask",
    "LengthRatio",
    "Preserved",
    "Repetition",
    "Untranslated",
]
