"""The anchor for Hugging Face Trainers: NLL + λ · KL(chat ‖ tuned) in ``transformers.Trainer`` and TRL.

``AnchoredTrainer`` and ``AnchoredSFTTrainer`` are :class:`AnchorMixin` on the two; they are made when they
are first asked for, so that importing this module needs neither TRL nor PEFT. The mixin goes before any other
subclass of ``transformers.Trainer`` as well::

    class MyAnchoredTrainer(AnchorMixin, MyTrainer): ...
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from narrows.chat import collate
from narrows.errors import ConfigError
from narrows.models.frozen import tokens_read
from narrows.training.recipe import Anchor
from narrows.training.trainer.passes import AnchorPasses
from narrows.training.trainer.rows import AnchorRow, anchor_passes, anchor_tokens, labelled_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    AnchoredTrainer: type[Any]
    AnchoredSFTTrainer: type[Any]

__all__ = ["AnchorMixin", "AnchoredSFTTrainer", "AnchoredTrainer", "labelled_rows"]

_ARGUMENTS = {"weight": "kl_weight", "rows_per_row": "anchor_rows_per_row", "positions": "anchor_positions"}


class AnchorMixin:
    """Adds the anchor to a Trainer: a subclass of ``transformers.Trainer`` goes after it in the bases.

    The loss of an optimiser step is the mean NLL of all labelled tokens of its accumulation window +
    ``kl_weight`` · the mean KL(P_chat ‖ P_tuned) of all read anchor tokens of that window (paper §3), both in
    nats, however the window is cut into passes and shared out among processes. A step's anchor rows follow
    from ``seed`` and the step's number, so a run that is resumed from a checkpoint reads the right ones.

    The training log gains ``kl`` and ``nll`` (means since the last log) and ``kl_weight``; ``loss`` is the
    whole. Evaluation is left as it is: its loss has no anchor. With ``kl_weight=0`` so is training.

    Args:
        *args: the Trainer's.
        kl_weight: λ, per token-nat.
        anchor_dataset: rows outside the domain: conversations, plain texts, or rows with ``messages``,
            ``prompt`` and ``completion``, ``text``, or ``input_ids`` (the response being where ``labels``
            are not −100, or by ``assistant_masks`` or ``completion_mask``). A list or a ``datasets.Dataset``.
        anchor_rows_per_row: anchor rows for each training row of a step.
        anchor_positions: tokens of an anchor row whose prediction is read: ``all`` or those of the
            ``response``.
        anchor_max_length: tokens kept of an anchor row (default: the ``max_length`` of an SFTConfig).
        reference_model: the chat model, where the model to be trained cannot be it with its adapter
            disabled: a full fine-tune, trained biases, PiSSA, …
        seed: of the anchor rows' order (default: ``args.seed``).
        **kwargs: the Trainer's.

    Raises:
        ConfigError: a value is out of its range; the chat model cannot be had; or the Trainer is set up in a
            way in which the loss would not be right (FSDP, DeepSpeed, DataParallel, …). Says what to change.
        DataError: there are no anchor rows, or one cannot be used.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401
        kl_weight: float,
        anchor_dataset: Iterable[AnchorRow] = (),
        anchor_rows_per_row: float = 4.0,
        anchor_positions: Literal["all", "response"] = "all",
        anchor_max_length: int | None = None,
        reference_model: "PreTrainedModel | None" = None,
        seed: int | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        self._anchor = _checked(
            weight=kl_weight, rows_per_row=anchor_rows_per_row, positions=anchor_positions
        )
        super().__init__(*args, **kwargs)
        trainer: Any = self
        self._anchor_seed: int = trainer.args.seed if seed is None else seed
        self._anchor_step: int | None = None
        self._anchor_due = False
        self._anchor_sums = torch.zeros(2)
        self._anchor_windows = 0
        if not self._anchor.weight:
            return
        _check_set_up(trainer)
        if reference_model is not None and getattr(reference_model, "hf_device_map", None) is None:
            reference_model.to(trainer.args.device)
        self._anchor_reference = reference_model
        self._anchor_passes = AnchorPasses(trainer.model, reference_model)
        tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
        if anchor_max_length is None:
            anchor_max_length = getattr(trainer.args, "max_length", None)
        self._anchor_rows = anchor_tokens(anchor_dataset, tokenizer, self._anchor, anchor_max_length)
        ids = (getattr(tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        self._anchor_pad = next((one for one in ids if one is not None), 0)

    @property
    def kl_weight(self) -> float:
        """λ, per token-nat."""
        return self._anchor.weight

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:  # noqa: ANN401
        """The Trainer's own; it is called once for each accumulation window, whose anchor is due then."""
        trainer: Any = self
        step: int = trainer.state.global_step
        if self._anchor_step is None or step != self._anchor_step + 1:  # begun, resumed or begun again
            self._anchor_sums, self._anchor_windows = torch.zeros(2, device=trainer.args.device), 0
        self._anchor_step, self._anchor_due = step, True
        return super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The Trainer's own, before which the first one of a window adds the gradient of the window's anchor.

        The two backward passes are separate: the anchor does not go through what the Trainer does to the loss
        of a pass, and the two graphs are never in memory at once.

        Raises:
            ConfigError: the Trainer does not take its loss over the whole window; says why.
        """
        if not self._anchor.weight:
            return super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc, no-any-return]
        trainer: Any = self
        _check_normalised(trainer, num_items_in_batch)
        anchored: Tensor | None = None
        if self._anchor_due:
            self._anchor_due = False
            # Before the Trainer's own: a backward pass after DDP's last one of the window would not be summed
            # over the processes, while what lies in .grad before it is.
            anchored = self._anchor_backward()
            self._anchor_windows += 1
        nll: Tensor = super().training_step(model, inputs, num_items_in_batch)  # type: ignore[misc]
        self._anchor_sums[0] += nll.detach()
        if anchored is None:
            return nll
        self._anchor_sums[1] += anchored
        return nll + self._anchor.weight * anchored

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The Trainer's own, with ``kl_weight``, and the means of ``kl`` and ``nll`` since the last log."""
        if "loss" in logs:
            trainer: Any = self
            logs["kl_weight"] = self._anchor.weight
            if self._anchor_windows:
                means = trainer.accelerator.reduce(self._anchor_sums.clone(), "mean") / self._anchor_windows
                logs["nll"], logs["kl"] = means.tolist()
                self._anchor_sums, self._anchor_windows = torch.zeros_like(self._anchor_sums), 0
        super().log(logs, start_time)  # type: ignore[misc]

    def _anchor_backward(self) -> Tensor:
        """Add the gradient of λ · KL of this step's window.

        Returns:
            This process's share of the mean KL, scaled so that the mean over the processes is the window's.
        """
        trainer: Any = self
        accelerator, args = trainer.accelerator, trainer.args
        if hasattr(trainer.optimizer, "train") and callable(trainer.optimizer.train):
            trainer.optimizer.train()  # schedule-free ones hold other weights while they evaluate
        if self._anchor_passes.model is not trainer.model:  # model_init made another one
            self._anchor_passes = AnchorPasses(trainer.model, self._anchor_reference)
        passes, rows = self._anchor_passes, self._anchor_rows
        window, mine = anchor_passes(
            self._anchor,
            len(rows),
            step=trainer.state.global_step,
            seed=self._anchor_seed,
            batch_size=trainer._train_batch_size,
            accumulation=args.gradient_accumulation_steps,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        read = self._anchor.positions
        # Gradients are averaged over the processes, but this is a sum over all of them.
        share = accelerator.num_processes / sum(tokens_read(rows[place], read) for place in window)
        total = torch.zeros((), device=args.device)
        passes.try_head(collate(rows[:1], self._anchor_pad).to(args.device))
        with passes.quiet():
            for places in mine:
                batch = collate([rows[place] for place in places], self._anchor_pad).to(args.device)
                losses = passes.kl(batch, batch.target_positions(read), accelerator.autocast)
                part = losses.sum() * share
                accelerator.backward(self._anchor.weight * part)
                total += part.detach().to(total.device)
        return total


def _checked(**values: object) -> Anchor:
    """The anchor's settings, checked; errors name the Trainer's arguments."""
    try:
        return Anchor.model_validate(values)
    except ValidationError as error:
        faults = [f"{_ARGUMENTS[str(e['loc'][0])]} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise ConfigError("; ".join(faults) + ".") from error


def _check_set_up(trainer: Any) -> None:  # noqa: ANN401
    """Refuse ways of training in which the window's gradient would not be right."""
    sharded = (
        trainer.is_fsdp_enabled
        or trainer.is_deepspeed_enabled
        or getattr(trainer, "is_distributed_loading_by_transformers", False)
    )
    if sharded:
        raise ConfigError(
            "the anchor runs the model's parts by themselves, which FSDP, DeepSpeed and sharded loading do "
            "not allow: train on one device, or with plain data parallelism (accelerate launch, torchrun)."
        )
    if trainer.get_tp_size() * trainer.get_cp_size() * trainer.get_sp_size() > 1:
        raise ConfigError(
            "the anchor does not know tensor, context or sequence parallelism: set their sizes to 1."
        )
    if trainer.args.n_gpu > 1:
        raise ConfigError(
            "several GPUs are visible to one process, so the Trainer would use DataParallel, which the "
            "anchor does not know: start it with accelerate launch or torchrun, or let it see only one "
            "(CUDA_VISIBLE_DEVICES)."
        )
    optim = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if "lomo" in optim or "layerwise" in optim:
        raise ConfigError(
            f"optim is {optim!r}, which updates the weights in each backward pass; a step with an anchor has "
            "two. Use another, such as 'adamw_torch'."
        )


def _check_normalised(trainer: Any, items: Tensor | int | None) -> None:  # noqa: ANN401
    """Refuse a Trainer that averages the means of passes or processes instead of the window's tokens."""
    split = trainer.args.gradient_accumulation_steps > 1 or trainer.accelerator.num_processes > 1
    if items is None and split:
        raise ConfigError(
            f"{type(trainer.model).__name__} takes no num_items_in_batch (or the batches have no labels), so "
            "the Trainer averages the means of its passes, not the window's tokens: use a model whose "
            "forward takes **kwargs, or gradient_accumulation_steps=1 on one process."
        )
    if trainer.accelerator.num_processes > 1 and not trainer.args.average_tokens_across_devices:
        raise ConfigError(
            "average_tokens_across_devices is False, so each process averages over its own tokens only: set "
            "it to True."
        )


def _anchored_trainer() -> type[Any]:
    from transformers import Trainer

    class AnchoredTrainer(AnchorMixin, Trainer):  # type: ignore[misc]
        __doc__ = AnchorMixin.__doc__

    return AnchoredTrainer


def _anchored_sft_trainer() -> type[Any]:
    try:
        from trl import SFTTrainer
    except ImportError as error:
        raise ConfigError(f"AnchoredSFTTrainer needs TRL: pip install 'narrows[trl]' ({error}).") from error

    class AnchoredSFTTrainer(AnchorMixin, SFTTrainer):  # type: ignore[misc]
        __doc__ = AnchorMixin.__doc__

    return AnchoredSFTTrainer


_MADE = {"AnchoredTrainer": _anchored_trainer, "AnchoredSFTTrainer": _anchored_sft_trainer}


def __getattr__(name: str) -> type[Any]:
    """Make ``AnchoredTrainer`` or ``AnchoredSFTTrainer`` when it is first asked for.

    Raises:
        ConfigError: TRL is not installed.
    """
    if name not in _MADE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _MADE[name]()
    made.__qualname__ = name
    globals()[name] = made
    return made
