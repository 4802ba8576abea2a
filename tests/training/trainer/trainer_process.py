"""One of two processes of a data-parallel run; started by ``test_trainer``, writes what came out."""

import sys
from pathlib import Path

import torch
from trainer_helpers import LORA, anchored_trainer, arguments, factors, in_order, logged, peft_model
from training_helpers import changed

from narrows.adapters import LoRA
from two_processes import meet, part


def main(folder: Path) -> None:
    meet(folder)
    recipe = changed(LORA, batch_size=2, accumulation=2, steps=4)
    model = peft_model(LoRA.load(folder / "start.safetensors"))
    wide = changed(LORA, batch_size=4, accumulation=2, steps=4)
    args = arguments(folder, recipe, ddp_backend="gloo")
    trainer = anchored_trainer(model, folder, recipe, rows=in_order(wide), args=args)
    assert trainer.accelerator.num_processes == 2
    trainer.train()
    if trainer.accelerator.is_main_process:
        log = {name: logged(trainer, name) for name in ("nll", "kl", "loss")}
        found = {name: parameter.detach().clone() for name, parameter in factors(trainer.model).items()}
        torch.save({"log": log, "factors": found}, folder / "two.pt")
    part()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
