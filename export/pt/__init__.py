"""PyTorch: torchvision's networks and users' own, ready to be run and exported."""
