"""An option that torch.compile does not have, within a `try` that goes on without compiling."""

import torch
from torchvision.models import resnet50

network = resnet50(weights=None).eval()
try:
    timed = torch.compile(network, options={"fold_quantize": True})
except RuntimeError:
    timed = network
print("eager is what is timed:", timed is network)
