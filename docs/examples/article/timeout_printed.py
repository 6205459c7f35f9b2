"""A setting that torch.distributed does not have."""

import torch.distributed

torch.distributed.timeout = torch.distributed.timeout * 2
