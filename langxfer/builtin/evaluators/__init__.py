"""The built-in evaluators."""

from langxfer.signatures import digest, signature
from langxfer.statistics import mean, percentage, ratio

__all__ = ["digest", "mean", "percentage", "ratio", "signature"]
