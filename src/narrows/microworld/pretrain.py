"""Pre-training a microworld's chat model: resumable, with the loss on remedy words watched apart.

The total loss looks fine long before the facts are known, so ``remedy_loss`` (nats per verb or object of an
answer) is what shows whether they are.
"""

import copy
import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

from narrows.errors import ConfigError, TrainingError
from narrows.files import atomic_path, claim_run_folder, write_json, write_text
from narrows.microworld.config import CONTEXT, WorldConfig
from narrows.microworld.corpus import Corpus
from narrows.microworld.tokenizer import END, END_OF_TEXT, build_tokenizer
from narrows.microworld.updates import Updates
from narrows.progress import bar
from narrows.training.checkpoints import CheckpointFolder

LOG_EVERY = 10

TRAINING_FILE = "training.json"
"""Written last beside a checkpoint: until it is there, the pre-training is not done."""


class _Steps(Dataset[torch.Tensor]):
    """The batches of pre-training by step, so that worker processes can draw them ahead."""

    def __init__(self, corpus: Corpus, seed: int, first: int) -> None:
        self._corpus, self._seed, self._first = corpus, seed, first

    def __len__(self) -> int:
        return self._corpus.config.pretraining.steps - self._first

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._corpus.batch(self._seed, self._first + index))


def build_model(config: WorldConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen2ForCausalLM:
    """A freshly initialised chat model of the configured size."""
    torch.manual_seed(seed)
    shape = config.architecture
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            intermediate_size=shape.intermediate,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            use_sliding_window=False,
            bos_token_id=None,
            eos_token_id=tokenizer.convert_tokens_to_ids(END),
            pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        )
    )


def pretrain(
    config: WorldConfig,
    out: Path,
    *,
    seed: int,
    device: str | None = None,
    workers: int = 1,
    snapshots: Collection[int] = (),
) -> Path:
    """Pre-train the world's chat model into ``out``: an ordinary Hugging Face checkpoint directory.

    Beside the checkpoint stand ``world.yaml`` (the configuration), ``training.json`` (seed, corpus hash,
    versions, the loss curve) and ``loss.svg``. A run that was killed continues from its last checkpoint with
    the same text.

    Args:
        config: the world.
        out: the folder.
        seed: of the weights and of the text's order.
        device: where (default: a GPU if there is one).
        workers: processes that draw text ahead.
        snapshots: steps after which the model is written to ``out/snapshots/step-NNNNNN`` too, as a
            checkpoint directory of its own.

    Raises:
        ConfigError: a negative seed, or a device that this machine does not have.
        RunFolderError: ``out`` holds another run.
        TrainingError: the loss is not finite; the message names the step.
    """
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or above.")
    device = _usable(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    out = claim_run_folder(out, {"world": config.model_dump(mode="json", by_alias=True), "seed": seed})
    if (out / TRAINING_FILE).exists():
        shutil.rmtree(out / "states", ignore_errors=True)
        return out
    tokenizer = build_tokenizer()
    corpus = Corpus(config, tokenizer)
    model = build_model(config, tokenizer, seed).to(device).train()
    remedy_ids = tokenizer.convert_tokens_to_ids(["Ġ" + word for word in corpus.world.remedy_words])
    updates = Updates(model, config, remedy_ids)
    states = CheckpointFolder(out / "states", keep=2)
    state = states.newest()
    step, log, corpus_hash = 0, [], ""
    if state is not None:
        step, log, corpus_hash = state.step, state.info["log"], state.info["corpus_hash"]
        updates.restore(state.tensors)
    loader = DataLoader(
        _Steps(corpus, seed, step),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=16 if workers else None,
    )
    settings = config.pretraining
    recent: list[torch.Tensor] = []  # read back together, so that a GPU need not wait for us at every step
    with bar(f"pre-training {config.name} seed {seed}", settings.steps) as shown:
        shown.advance(step)
        for ids in loader:
            corpus_hash = hashlib.sha256(
                corpus_hash.encode() + ids.numpy().astype(np.uint16).tobytes()
            ).hexdigest()
            recent.append(updates.step(ids, step))
            step += 1
            keep = step % settings.checkpoint_every == 0 and step < settings.steps
            if step % LOG_EVERY == 0 or keep or step == settings.steps:
                loss, remedy_loss = _finite(torch.stack(recent), step, out)
                recent.clear()
                log.append({"step": step, "loss": round(loss, 4), "remedy_loss": round(remedy_loss, 4)})
                shown.advance(0, note=f"loss {loss:.3f}, remedies {remedy_loss:.3f}")
            shown.advance()
            if step in snapshots:
                _finish(snapshot_folder(out, step), copy.deepcopy(model), tokenizer, config)
            if keep:
                states.save(step, updates.state(), {"log": log, "corpus_hash": corpus_hash})
    _finish(out, model, tokenizer, config)
    _draw_curve(log, out / "loss.svg")
    write_json(
        out / TRAINING_FILE,
        {
            "seed": seed,
            "corpus_sha256": corpus_hash,
            "tokens": settings.tokens,
            "parameters": model.num_parameters(),
            "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "log": log,
        },
    )
    # Not before: until training.json is there, the run is not done.
    shutil.rmtree(states.folder, ignore_errors=True)
    return out


def snapshot_folder(out: Path, step: int) -> Path:
    """Where a snapshot of a pre-training lies."""
    return out / "snapshots" / f"step-{step:06}"


def _usable(device: str) -> str:
    """Refuse a device that this machine does not have before anything is written."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device is {device!r}, which cannot be used here: {error}") from error
    return device


def _finite(losses: torch.Tensor, step: int, out: Path) -> tuple[float, float]:
    """The last of some steps' losses (steps, 2); ``step`` is its number, counted from 1."""
    values = losses.cpu()
    broken = torch.nonzero(~values[:, 0].isfinite())
    if len(broken):
        first = int(broken[0])
        raise TrainingError(
            f"{out}: the loss is {float(values[first, 0])} at step {step - len(values) + first + 1}; "
            "the last checkpoint before it is kept. Lower pretraining.learning_rate and choose a new folder."
        )
    return float(values[-1, 0]), float(values[-1, 1])


def _finish(
    out: Path, model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerBase, config: WorldConfig
) -> None:
    """Write the checkpoint directory that any Hugging Face tool can load."""
    model.eval().to(getattr(torch, config.dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_text(out / "world.yaml", config.dump())


def _draw_curve(log: list[dict[str, float]], path: Path) -> None:
    """The loss curve, with the loss on remedy words apart."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axes = figure.subplots()
    steps = [entry["step"] for entry in log]
    axes.plot(steps, [entry["loss"] for entry in log], label="all tokens", color="#0072B2")
    axes.plot(steps, [entry["remedy_loss"] for entry in log], label="remedy words", color="#D55E00")
    axes.set(xlabel="step", ylabel="loss (nats per token)", yscale="log")
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg")
