"""Sweeps: a plan file of axes becomes cells, their order, what they will cost, and where their run stands."""
