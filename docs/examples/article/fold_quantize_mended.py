"""What cannot be compiled ends the program; what falls back to Python within it is counted."""

import torch
from torchvision.models import resnet50

network = resnet50(weights=None).eval()
told = torch._dynamo.explain(network)(torch.randn(1, 3, 224, 224))
print("graphs:", told.graph_count, "graph breaks:", told.graph_break_count)
