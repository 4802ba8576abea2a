"""One of two processes of a data-parallel run that a monitor stops; started by ``test_callback``."""

import json
import sys
from pathlib import Path

from test_callback import trainer

from narrows.geometry.monitoring import Monitor, MonitorCallback
from two_processes import meet, part


def main(folder: Path) -> None:
    rank = meet(folder)
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
    part()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
