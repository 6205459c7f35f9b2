"""From what was asked to cells: models, runtimes, sizes, data, engines."""
