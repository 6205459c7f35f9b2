"""Measurements at home: stored as they came, judged and compared on read."""
