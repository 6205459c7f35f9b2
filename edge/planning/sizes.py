"""Height and width of a model's images: which an artifact has, which it is measured at, where that may lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from device_agents.contract import Dim, DimRange, LoadPattern, TensorSpec
from export.artifact import Artifact
from export.request import FREE_HEIGHT, FREE_WIDTH
from profiles.errors import RunError

Size = tuple[int, int]
"""Height and width in pixels."""

_SIDES = (FREE_HEIGHT, FREE_WIDTH)
_GOLDEN = re.compile(r"golden-(\d+)x(\d+)\.npz\Z")


def told(size: Size) -> str:
    """`384x320`: height and width."""
    return f"{size[0]}x{size[1]}"


def declared(artifact: Artifact) -> dict[str, DimRange]:
    """The ranges of the free sides, by name; the same in each of its optimization profiles."""
    return {name: one for profile in artifact.profiles for name, one in profile.items() if name in _SIDES}


def own(artifact: Artifact) -> Size | None:
    """The only size of an artifact, or that which its free sides are tuned for; None where it has none, as it takes no
    images, or nothing says which."""
    ranges = {name: one.opt for name, one in declared(artifact).items()}
    found = [ranges.get(side, 0) if isinstance(side, str) else side for side in _sides(artifact)]
    return (found[0], found[1]) if len(found) == 2 and all(found) else None


def is_free(artifact: Artifact) -> bool:
    """Whether it takes images of more than one size."""
    return any(isinstance(side, str) for side in _sides(artifact))


def serves(artifact: Artifact, size: Size) -> bool:
    """Whether the artifact, or engine, takes images of that size."""
    ranges, sides = declared(artifact), _sides(artifact)
    return bool(sides) and all(
        side == wanted if isinstance(side, int) else side not in ranges or _holds(ranges[side], wanted)
        for side, wanted in zip(sides, size, strict=True)
    )


def draws(artifact: Artifact, drawn: Sequence[int]) -> bool:
    """Whether the artifact takes every size that is drawn, and none of them alone."""
    sides = _sides(artifact)
    return (
        bool(sides)
        and all(isinstance(side, str) for side in sides)
        and all(serves(artifact, (side, side)) for side in drawn)
    )


def check_drawn(artifact: Artifact, drawn: Sequence[int], where: str) -> None:
    """Errors: RunError for an artifact that does not take them all; `where` names it."""
    if not draws(artifact, drawn):
        first, middle, last = drawn[0], drawn[len(drawn) // 2], drawn[-1]
        message = f"it does not take every size from {first} to {last} pixels, height and width both free"
        fix = f"export it with a range of sizes: --size {first}:{middle}:{last}"
        raise RunError(message, where=where, stage="plan", fix=fix)


def measured(artifact: Artifact, asked: Size | None, pattern: LoadPattern) -> Size | None:
    """The size that is measured, or checked where the load pattern draws sizes: what the artifact is tuned for, where
    that is a square within their range, else the first with golden data, else the one in the middle. None where it has
    none."""
    size = asked or own(artifact)
    if not pattern.sizes:
        return size
    if size is not None and size[0] == size[1] and pattern.sizes[0] <= size[0] <= pattern.sizes[-1]:
        return size
    squares = ((side, side) for side in pattern.sizes)
    known = (square for square in squares if golden_file(artifact, square) is not None)
    return next(known, (pattern.middle, pattern.middle))


def chosen(artifact: Artifact, asked: Size | None, where: str) -> dict[str, int]:
    """What the free sides are, by name: as asked, else as the artifact is tuned for. `where` names it in errors.

    Errors: RunError when it does not take that size, or nothing says which.
    """
    sides, size = _sides(artifact), asked or own(artifact)
    if asked is not None and not serves(artifact, asked):
        raise _refused(artifact, asked, where)
    free = [side for side in sides if isinstance(side, str)]
    if size is None and free:
        message = f"its {' and '.join(free)} are free, and nothing says which size is meant"
        raise RunError(message, where=where, stage="plan", fix="name one, such as --size 224x224")
    return {side: at for side, at in zip(sides, size or (), strict=False) if isinstance(side, str)}


def golden_file(artifact: Artifact, asked: Size | None) -> str | None:
    """The payload file with golden samples of that size, None where there is none."""
    if asked is None or asked == own(artifact):
        return artifact.golden
    names = (entry.name for entry in artifact.files)
    found = ((name, _GOLDEN.match(name)) for name in names)
    return next((name for name, match in found if match and (int(match[1]), int(match[2])) == asked), None)


def is_golden(name: str) -> bool:
    """Whether a payload file holds the golden samples of a size."""
    return _GOLDEN.match(name) is not None


def at_size(artifact: Artifact, asked: Size | None, where: str) -> Artifact:
    """The artifact as it is to somebody with data of one size: its inputs' free sides are set. Errors: RunError."""
    sizes = chosen(artifact, asked, where)

    def sized(tensor: TensorSpec) -> TensorSpec:
        shape = tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in tensor.shape)
        return replace(tensor, shape=shape)

    return replace(artifact, inputs=tuple(map(sized, artifact.inputs))) if sizes else artifact


def _sides(artifact: Artifact) -> tuple[Dim, ...]:
    """Height and width as the inputs declare them, numbers or names; empty where no input is an image."""
    for tensor in artifact.inputs:
        for name, before in ((FREE_HEIGHT, 0), (FREE_WIDTH, 1)):
            if name in tensor.shape:
                at = tensor.shape.index(name) - before
                return tensor.shape[at : at + 2]
    images = {image.name for image in artifact.images}
    shapes = (tensor.shape for tensor in artifact.inputs if tensor.name in images)
    shape: tuple[Dim, ...] = next(shapes, ())
    return shape[-3:-1] if artifact.pixels == "uint8" else shape[-2:]


def _holds(one: DimRange, size: int) -> bool:
    return one.min <= size <= one.max


def _refused(artifact: Artifact, asked: Size, where: str) -> RunError:
    ranges, sides = declared(artifact), _sides(artifact)
    if not sides:
        message = "nothing says that it takes images, so it has no size to choose"
        fix = "leave --size out; of an .onnx, --mean and --std say at its export that it takes images"
    elif ranges:
        spans = ", ".join(f"{name} {one}" for name, one in ranges.items())
        message = f"size {told(asked)} is outside what it declares ({spans})"
        fix = "take one within, or export the model with a range that holds it: --size MIN:OPT:MAX"
    else:
        message = f"its size is fixed to {'x'.join(map(str, sides))}, not {told(asked)}"
        fix = "measure that size, or export the model with a range of sizes: --size MIN:OPT:MAX"
    return RunError(message, where=where, stage="plan", fix=fix)
