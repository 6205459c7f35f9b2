"""Whether a measurement can be trusted: VALID, INVALID with reasons, or UNJUDGED with the rules that had no data.

Every rule gets the evidence and answers with what it found; thresholds travel with the measurement, fixed when it was
made. What another tool measured is never more than UNJUDGED.
"""

from edge.results.verdict.advice import ADVICE, MENDED_BY_REPEATING
from edge.results.verdict.finding import Evidence, Finding, Flag, Held, Status, Verdict
from edge.results.verdict.judging import RULES, judge

__all__ = [
    "ADVICE",
    "MENDED_BY_REPEATING",
    "RULES",
    "Evidence",
    "Finding",
    "Flag",
    "Held",
    "Status",
    "Verdict",
    "judge",
]
