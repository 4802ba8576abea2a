"""One of two processes of a data-parallel run that a monitor stops; started by ``test_callback``."""

import json
import sys
from pathlib import Path

import torch
from test_callback import trainer

from narrows.geometry.monitoring import Monitor, MonitorCallback


def main(folder: Path) -> None:
    callback = MonitorCallback(Monitor.load(folder / "monitor.json"), every=1, stop=True)
    run = trainer(folder, [callback], ddp_backend="gloo", per_device_train_batch_size=1)
    assert run.accelerator.num_processes == 2
    run.train()
    seen = {
        "steps": run.state.global_step,
        "alarm": callback.alarm,
        "projections": [look.projections["watched"] for look in callback.looks],
    }
    (folder / f"seen-{torch.distributed.get_rank()}.json").write_text(json.dumps(seen))
    # Else its threads may outlive what they stand on when Python ends, and the process aborts.
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
