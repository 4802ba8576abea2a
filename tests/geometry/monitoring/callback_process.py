"""One of two processes of a data-parallel run that a monitor stops; started by ``test_callback``."""

import json
import os
import sys
from pathlib import Path

import torch
from test_callback import trainer

from narrows.geometry.monitoring import Monitor, MonitorCallback


def main(folder: Path) -> None:
    # They meet in a file: where they meet at a port, names are looked up, which may take minutes.
    place, rank, size = f"file://{folder}/meeting", int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=size)
    callback = MonitorCallback(Monitor.load(folder / "monitor.json"), every=1, stop=True)
    run = trainer(folder, [callback], ddp_backend="gloo", per_device_train_batch_size=1)
    assert run.accelerator.num_processes == 2
    run.train()
    seen = {
        "steps": run.state.global_step,
        "alarm": callback.alarm,
        "projections": [look.projections["watched"] for look in callback.looks],
    }
    (folder / f"seen-{rank}.json").write_text(json.dumps(seen))
    # Else its threads may outlive what they stand on when Python ends, and the process aborts.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
