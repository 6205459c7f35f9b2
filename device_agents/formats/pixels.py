"""From pixels to what a model takes: one definition for the operator's machine and for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def normalise(pixels: "NDArray[Any]", mean: Sequence[float], std: Sequence[float], order: str) -> "NDArray[np.float32]":
    """(..., C, H, W) of (..., H, W, C) pixels in [0, 255] whose colours are RGB: (pixel / 255 - mean) / std, in that
    order of the channels."""
    import numpy as np

    means, stds = (np.asarray(values, np.float32)[:, None, None] for values in (mean, std))
    planes = np.moveaxis(pixels.astype(np.float32), -1, -3)
    shades = (planes[..., ::-1, :, :] if order == "BGR" else planes) / np.float32(255)
    return np.asarray((shades - means) / stds)
