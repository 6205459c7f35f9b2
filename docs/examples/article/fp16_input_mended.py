"""Weights and images have one type."""

import torch
from torchvision.models import resnet50

network = resnet50(weights=None).eval().half()
with torch.inference_mode():
    print(network(torch.randn(1, 3, 224, 224).half()).dtype)
