"""A plan, run: devices side by side, each cell once, whatever breaks in between."""
