"""Lower precision, written into the graph: FP16 and INT8, and what must stay as it is."""

from __future__ import annotations
