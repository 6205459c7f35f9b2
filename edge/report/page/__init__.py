"""The report: one page that anybody can open, offline or while a sweep runs."""
