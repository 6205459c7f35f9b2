"""Documents as tests: their commands are run."""
