"""A chat model as everything here uses it: frozen, with its tokenizer and its way of rendering chats."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import align_module_device
from torch import Tensor

from narrows.chat import Conversation, Renderer
from narrows.errors import ConfigError, DataError, ModelError, NarrowsError
from narrows.models import quantised
from narrows.models.devices import Device, check_device, check_dtype, device_of
from narrows.models.head import Head
from narrows.models.layers import decoder_layers
from narrows.models.quantised import Quantise
from narrows.models.sharding import loaded_by_all, shard, wants_sharding, whole
from narrows.strict import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SAMPLE = 65_536
_NOT_IDENTITY = (
    "_name_or_path",
    "architectures",
    "dtype",
    "quantization_config",  # the packed weights and their scales say it
    "transformers_version",
    "use_cache",
)


@dataclass(frozen=True, eq=False)
class ChatModel:
    """A frozen chat model.

    Attributes:
        model: in eval mode, no parameter asks for a gradient.
        tokenizer: its tokenizer.
        name: where it was loaded from.
        revision: the hub commit, or None.
        renderer: renders chats for it.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    name: str
    revision: str | None
    renderer: Renderer

    @classmethod
    def from_parts(
        cls,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        name: str,
        revision: str | None = None,
    ) -> "ChatModel":
        """Make a chat model of a model in memory; the model is frozen and set to eval mode.

        Raises:
            ModelError: no chat template, or no decoder layers were found.
        """
        decoder_layers(model)
        return cls(model.eval().requires_grad_(False), tokenizer, name, revision, Renderer(tokenizer))

    @property
    def layers(self) -> int:
        """How many decoder layers there are."""
        return len(decoder_layers(self.model))

    @property
    def hidden(self) -> int:
        """The width of the residual stream."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def vocabulary(self) -> int:
        """The width of the logits (it may be larger than the tokenizer's vocabulary)."""
        head = self.model.get_output_embeddings()
        return int(getattr(head, "out_features", head.weight.shape[0]))

    @property
    def device(self) -> torch.device:
        """Where input tokens go."""
        return device_of(self.model.get_input_embeddings())

    @property
    def precision(self) -> str:
        """How its numbers are held: ``bfloat16``, or ``4bit in bfloat16`` for a quantised base."""
        return quantised.precision(self.model.config, self.model.dtype)

    @property
    def pad_id(self) -> int:
        """The token to fill batches with; masks never depend on it."""
        pad, eos = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        return int(pad if pad is not None else eos if eos is not None else 0)

    @cached_property
    def id(self) -> str:
        """16 digits that stand for the architecture and the weights, wherever and in whichever file they lie.

        Small tensors are hashed whole, large ones (over 65,536 numbers) at as many evenly spaced places. A
        quantised model's are its packed weights and their scales, so it has another id than the model that
        it was made from.
        """
        config = self.model.config.get_text_config().to_diff_dict()
        for name in _NOT_IDENTITY:
            config.pop(name, None)
        found = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        for name, weight in _weights(self.model):
            found.update(f"{name} {tuple(weight.shape)}".encode())
            step = max(1, -(-weight.numel() // _SAMPLE))
            sample = weight.detach().reshape(-1)[::step].to("cpu", torch.float32)
            found.update(sample.contiguous().numpy().tobytes())
        return found.hexdigest()[:16]


def _weights(model: "PreTrainedModel") -> Iterator[tuple[str, Tensor]]:
    """What determines a model's numbers, by name: its parameters, and the scales of quantised ones."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    seen: set[str] = set()
    for place, module in model.named_modules():
        # Offloaded parameters are brought in, one module at a time.
        with align_module_device(module):
            for own, weight in module.named_parameters(recurse=False):
                name = f"{place}.{own}" if place else own
                seen.add(name)
                if name not in tied:
                    yield name, whole(weight)
    if quantised.kind_of(model.config):
        yield from ((name, scales) for name, scales in model.state_dict().items() if name not in seen)


def load_chat_model(
    name_or_path: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: Device = None,
    quantise: Quantise = None,
    revision: str | None = None,
    check: bool = True,
) -> ChatModel:
    """Load a chat model from a folder or from the Hugging Face hub; code from the hub is never run.

    Args:
        name_or_path: a hub name or a checkpoint folder; a checkpoint that is quantised already stays so.
        dtype: a torch dtype or its name; ``auto`` is the checkpoint's own, except that on a CPU it is
            float32, which is both faster there than bf16 and exact. A quantised base computes in it.
        device: where to; None is the first GPU if there is one, ``auto`` spreads the layers over all GPUs, a
            mapping from modules' names to devices is accelerate's device map.
        quantise: hold the layers' weights in ``4bit`` (nf4, as QLoRA does) or ``8bit`` (LLM.int8), or as a
            quantisation config of transformers says.
        revision: a branch, tag or commit on the hub.
        check: run one short prompt and see that its logits are finite.

    Under ``accelerate launch --use_fsdp`` the layers are shared out among the processes, unless a device is
    given.

    Raises:
        ModelError: nothing there; weights missing or broken; no chat template; no decoder layers; not finite;
            the LM head is quantised or offloaded; the package for a quantised base is not installed.
        ConfigError: no such dtype, device or quantisation, or the device cannot compute in it.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    name = str(name_or_path)
    check_folder(name_or_path)
    place, kind = check_device(device)
    sharded = device is None and wants_sharding()
    if sharded:
        if quantise is not None:
            raise ConfigError("a quantised base cannot be shared out among processes: leave one of the two.")
        place = "cpu"  # whole there first; its shares go to this process's device
    given = check_dtype(dtype)
    options: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False}
    try:
        tokenizer = load_tokenizer(name, options)
        config = AutoConfig.from_pretrained(name, **options)
        if given is None and kind == "cpu":
            given = torch.float32
        packing = quantised.quantisation(quantise, config, given or config.dtype or torch.bfloat16, kind)
        # Without a device map quantised weights would go to a GPU if there is one.
        plain = (
            kind == "cpu" and isinstance(place, str) and packing is None and quantised.kind_of(config) is None
        )
        with loaded_by_all():
            model, report = AutoModelForCausalLM.from_pretrained(
                name,
                dtype=given or "auto",
                device_map=None if plain else place,
                output_loading_info=True,
                # A None would hide the checkpoint's own.
                **({} if packing is None else {"quantization_config": packing}),
                **options,
            )
    except NarrowsError:
        raise
    except Exception as error:  # a damaged folder reaches into transformers, which raises what it likes
        raise ModelError(
            f"{name} cannot be loaded as a causal language model ({one_line(error)}). Give a checkpoint "
            "folder, or a name on the Hugging Face hub that this machine can reach (or has in its cache)."
        ) from error
    _check_weights(name, report)
    quantised.keep_unpacked(model)
    found = ChatModel.from_parts(model, tokenizer, name, getattr(model.config, "_commit_hash", None))
    if check:
        Head(model)
        _check_forward(found)
    if sharded:
        shard(found.model)
    return found


def load_tokenizer(name: str, options: dict[str, Any]) -> "PreTrainedTokenizerBase":
    """The checkpoint's tokenizer.

    For some families (Qwen2 is one) ``AutoTokenizer`` overrides a declared generic class by the family's
    own, which keeps only the vocabulary of ``tokenizer.json`` and silently tokenises otherwise; a declared
    generic class means that ``tokenizer.json`` is to be used as it stands.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    declared = get_tokenizer_config(name, **options).get("tokenizer_class")
    generic = declared in ("TokenizersBackend", "PreTrainedTokenizerFast")
    return (PreTrainedTokenizerFast if generic else AutoTokenizer).from_pretrained(name, **options)


def check_folder(name_or_path: str | Path) -> None:
    """Tell a missing folder from a hub name before anything asks the network.

    Raises:
        ModelError: it can only be a folder, and is none with a checkpoint.
    """
    path = Path(name_or_path)
    looks_local = (
        isinstance(name_or_path, Path) or path.is_absolute() or name_or_path.startswith(("./", "../", "~"))
    )
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path} is no checkpoint folder: it has no config.json.")
    elif looks_local or path.exists() or len(path.parts) > 2:
        raise ModelError(
            f"{path} is no checkpoint folder: {'it is a file' if path.exists() else 'it does not exist'}."
        )


def _check_weights(name: str, report: dict[str, Any]) -> None:
    """Refuse a checkpoint whose missing weights were filled at random."""
    for kind in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found := sorted(map(str, report.get(kind) or ())):
            raise ModelError(
                f"{name} has incomplete weights ({kind.replace('_', ' ')}): {', '.join(found[:5])}"
                f"{f' and {len(found) - 5} more' if len(found) > 5 else ''}. Fetch the checkpoint again."
            )


@torch.no_grad()
def _check_forward(chat: ChatModel) -> None:
    """Run one short prompt."""
    try:
        tokens = chat.renderer.prompt(Conversation.from_pair("Hello").messages)
    except DataError as error:
        raise ModelError(str(error)) from error
    if max(tokens) >= chat.vocabulary:
        raise ModelError(
            f"{chat.name}: the tokenizer writes token {max(tokens)}, but the model knows {chat.vocabulary} "
            "tokens: they do not belong together."
        )
    logits = chat.model(input_ids=torch.tensor([tokens], device=chat.device), use_cache=False).logits
    if not torch.isfinite(logits).all():
        raise ModelError(
            f"{chat.name}: its logits are not finite in {logits.dtype}: broken weights, or a dtype too "
            "narrow for them (try bfloat16 or float32)."
        )
