"""The host side of models: from a framework's network to an artifact that devices can run."""
