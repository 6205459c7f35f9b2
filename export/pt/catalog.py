"""What torchvision has: every network by name, what it is for, and the images that it was made for.

All of it is read off torchvision and its weights' metadata, which need no network; what it does not say has its source
here. torch is imported in functions only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.download import check_reachable, could_not_download, stands_still_at_most
from export.request import ExportRequest
from profiles.errors import ExportError
from profiles.load import unknown
from profiles.schema import ImageInput

FRAMES = 16
"""Frames of a clip: MViT takes no other number, and torchvision counts the operations of every video network at it."""

_FLOW_SIDES = (520, 960)  # torchvision counts RAFT's operations at these (gallery: plot_optical_flow.py)

# The side a detector resizes to where its name says none: GeneralizedRCNNTransform's min_size, and the fixed sizes of
# SSD. At that side its own resizing does nothing.
_DETECTOR_SIDE = 800
_DETECTOR_SIDES = {"ssd300": 300, "ssdlite320": 320, "large_320": 320}

# What a network is built with. The auxiliary heads of GoogLeNet and Inception are for training alone;
# `transform_input` is what torchvision sets for pretrained weights, and weights from a file are mostly descended from
# those. `aux_loss` is what the segmentation networks have with theirs.
_INCEPTIONS = {"aux_logits": False, "init_weights": True, "transform_input": True}
_ARGUMENTS: dict[str, dict[str, Any]] = {"googlenet": _INCEPTIONS, "inception_v3": _INCEPTIONS}


@dataclass(frozen=True)
class Entry:
    """A network of torchvision. `images` are its inputs in order, `labels` its classes (none without weights of its
    own)."""

    name: str
    task: str
    images: tuple[ImageInput, ...]
    labels: tuple[str, ...] = ()


def names() -> dict[str, str]:
    """Every network that can be exported, and its task; the quantized ones are for x86 and ARM CPUs alone."""
    from torchvision import models

    modules = {
        "classification": models,
        "segmentation": models.segmentation,
        "detection": models.detection,
        "video": models.video,
        "optical_flow": models.optical_flow,
    }
    return {name: task for task, module in modules.items() for name in models.list_models(module=module)}


def find(name: str) -> Entry:
    """Errors: ConfigError for an unknown name, with the nearest there is."""
    from torchvision import models

    tasks = names()
    if name not in tasks:
        raise unknown("torchvision model", name, tasks)
    known = list(models.get_model_weights(name))
    best = models.get_model_weights(name).DEFAULT if known else None
    labels = tuple(str(label) for label in best.meta.get("categories", ())) if best else ()
    return Entry(name, tasks[name], _images(name, tasks[name], best.transforms() if best else None), labels)


def at_size(entry: Entry, request: ExportRequest) -> Entry:
    """With its images at the size that is asked for, of a free one at what engines are tuned for."""
    if request.size is None:
        return entry
    sides = tuple(side.opt for side in request.size)
    return replace(entry, images=tuple(replace(image, shape=(*image.shape[:-2], *sides)) for image in entry.images))


def build(entry: Entry) -> Any:
    """The network in eval mode, FP32, initialised by torch's generator. Nothing is downloaded. A vision transformer is
    another network at another size, and no other is."""
    from torchvision import models

    backbone = {"weights_backbone": None} if entry.task in ("segmentation", "detection") else {}
    return models.get_model(entry.name, weights=None, **backbone, **arguments(entry)).eval()


def arguments(entry: Entry) -> dict[str, Any]:
    """What the network is built with, beside weights."""
    found = dict(_ARGUMENTS.get(entry.name, {}))
    if entry.name.startswith("vit_"):  # it has a position for every patch of one size
        found["image_size"] = entry.images[0].shape[-1]
    if entry.task == "segmentation" and not entry.name.startswith("lraspp"):
        found["aux_loss"] = True
    return found


def build_pretrained(entry: Entry, pinned: str | None) -> Any:
    """The network as torchvision builds it with its weights, which come from its cache or the net. `pinned` is their
    upstream name. Errors: ConfigError for weights that there are none of, ExportError naming what to do without a net.
    """
    import torch
    from torchvision import models

    choices = models.get_model_weights(entry.name)
    member = pinned.rpartition(".")[2] if pinned else "DEFAULT"
    if member not in choices.__members__ and member != "DEFAULT":
        raise unknown(f"weights of torchvision's {entry.name}", member, choices.__members__)
    if not list(choices):
        fix = "use --weights random, or --weights PATH with a file that you have"
        raise ExportError("torchvision has no weights for it", where=entry.name, fix=fix)
    weights = choices[member]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not cached.exists():
        check_reachable(weights.url, entry.name)
    try:
        with stands_still_at_most():
            return models.get_model(entry.name, weights=weights, progress=False).eval()
    except OSError as error:
        raise could_not_download(entry.name, weights.url, error) from None
    except Exception as error:  # what a broken file raises has no common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise ExportError(f"torch cannot read the pretrained weights ({reason})", fix=f"remove {cached}") from error


def _images(name: str, task: str, transforms: Any) -> tuple[ImageInput, ...]:
    if task == "detection":  # it normalises by itself
        side = next((side for part, side in _DETECTOR_SIDES.items() if part in name), _DETECTOR_SIDE)
        return (ImageInput(shape=(3, side, side), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),)
    if task == "optical_flow":
        pixels = ImageInput("image1", (3, *_FLOW_SIDES), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        return pixels, replace(pixels, name="image2")
    if transforms is None:
        return (ImageInput(),)
    side = int((transforms.resize_size if task == "segmentation" else transforms.crop_size)[0])
    frames = (FRAMES,) if task == "video" else ()
    return (ImageInput("images", (3, *frames, side, side), tuple(transforms.mean), tuple(transforms.std)),)
