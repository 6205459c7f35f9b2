"""What the samples say, and what they cannot say. Latencies in nanoseconds.

Percentiles are samples, never interpolated, picked as trtexec does. Intervals are Student t over per-process figures:
run-to-run spread is larger than the spread within a run, so the samples of one run say little about the next.
"""

from edge.results.stats.intervals import bootstrap95, half_width, t95
from edge.results.stats.percentiles import SUPPORT, bound, percentile, supported
from edge.results.stats.shape import Kinds, kinds, trimmed_mean
from edge.results.stats.shares import Share
from edge.results.stats.sizes import OfSize, drawn, of_sizes
from edge.results.stats.soak import Soak, soaked
from edge.results.stats.summary import Estimate, Summary, drift, milliseconds, summarise

__all__ = [
    "SUPPORT",
    "Estimate",
    "Kinds",
    "OfSize",
    "Share",
    "Soak",
    "Summary",
    "bootstrap95",
    "bound",
    "drawn",
    "drift",
    "half_width",
    "kinds",
    "milliseconds",
    "of_sizes",
    "percentile",
    "soaked",
    "summarise",
    "supported",
    "t95",
    "trimmed_mean",
]
