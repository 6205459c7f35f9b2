"""The report while a run goes on: the same page from a small server that only reads."""
