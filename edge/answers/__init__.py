"""Questions that are answered from measurements: made before, or made for it through the same run as any other."""
