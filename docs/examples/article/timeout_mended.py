"""The process group takes it."""

import datetime
import tempfile

import torch.distributed

with tempfile.TemporaryDirectory() as folder:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/ranks", rank=0, world_size=1, timeout=datetime.timedelta(minutes=60)
    )
    print("ranks:", torch.distributed.get_world_size())
    torch.distributed.destroy_process_group()
