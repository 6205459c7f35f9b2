"""FP16 images into a network whose weights are FP32."""

import torch
from torchvision.models import resnet50

network = resnet50(weights=None).eval()
network(torch.randn(1, 3, 224, 224).half())
