"""When is a PEFT model with its adapter disabled the chat model? What is not is refused here."""

from typing import Any

from torch import nn

from narrows.errors import ConfigError

_HARMLESS_STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")
"""Values of ``init_lora_weights`` that leave the base weights alone; PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA
do not.
"""
_WAY_OUT = "or give reference_model, the chat model loaded once more"


def is_peft(model: object) -> bool:
    """True for a model that ``peft.get_peft_model`` or ``PeftModel.from_pretrained`` made."""
    return hasattr(model, "peft_config") and hasattr(model, "disable_adapter")


def check_head(model: nn.Module, inner: Any) -> None:  # noqa: ANN401
    """Refuse what the chunked KL cannot follow: an adapter on the LM head, or one that acts around the model.

    Args:
        model: what is trained.
        inner: the Hugging Face model in it.

    Raises:
        ConfigError: names what is in the way.
    """
    if not is_peft(model):
        if getattr(model, "_hf_peft_config_loaded", False):
            raise ConfigError(
                "the model has adapters of transformers' own integration (add_adapter), which cannot be "
                "disabled for one pass: make the adapter with peft.get_peft_model(model, LoraConfig(…))."
            )
        return
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for name, config in _configs(model):
        if config.is_prompt_learning or str(config.peft_type).endswith("XLORA"):
            raise ConfigError(
                f"the adapter {name!r} is of type {config.peft_type}, which changes the model's input or "
                "acts around it; the anchor knows adapters inside the layers only, such as LoRA."
            )
        if getattr(config, "alora_invocation_tokens", None):
            raise ConfigError(
                f"the adapter {name!r} is an activated LoRA (alora_invocation_tokens), which acts from an "
                "invocation on only; the anchor does not know it. Use a plain LoRA."
            )
    if isinstance(inner.get_output_embeddings(), BaseTunerLayer | AuxiliaryTrainingWrapper):
        raise ConfigError(
            "the LM head has an adapter, or is trained itself (modules_to_save): the KL is taken in chunks "
            "from the head's own weight and would miss it. Take lm_head out of target_modules and "
            "modules_to_save."
        )


def check_adapters(model: nn.Module) -> None:
    """Refuse a PEFT model that is not the chat model while its adapter is disabled.

    A LoRA that was merged and unloaded before (``merge_and_unload``) leaves no trace and cannot be seen.

    Args:
        model: a PEFT model.

    Raises:
        ConfigError: names the setting, module or parameter that would stay, and the way out.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for name, config in _configs(model):
        start = getattr(config, "init_lora_weights", True)
        if (start.lower() if isinstance(start, str) else start) not in _HARMLESS_STARTS:
            raise ConfigError(
                f"the adapter {name!r} was begun with init_lora_weights={start!r}, which changes the base "
                f"weights: without the adapter it is not the chat model. Use the default start, {_WAY_OUT}."
            )
        if getattr(config, "bias", "none") != "none":
            raise ConfigError(
                f"the adapter {name!r} trains biases of the base model (bias={config.bias!r}), which stay "
                f"when the adapter is disabled. Set bias to 'none', {_WAY_OUT}."
            )
    adapted: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, AuxiliaryTrainingWrapper):
            raise ConfigError(
                f"{name} is trained as a whole (modules_to_save or trainable_token_indices), so the model "
                f"without its adapter is not sure to be the chat model. Take it out, {_WAY_OUT}."
            )
        if isinstance(module, BaseTunerLayer):
            if module.merged:
                raise ConfigError(
                    f"{name} has an adapter merged into its weight ({', '.join(module.merged_adapters)}), "
                    "so the model without its adapter is not the chat model. Call unmerge_adapter(), "
                    f"{_WAY_OUT}."
                )
            base = {id(parameter) for parameter in module.get_base_layer().parameters()}
            adapted |= {id(parameter) for parameter in module.parameters()} - base
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in adapted:
            raise ConfigError(
                f"{name} belongs to the chat model and is trained too, so the model without its adapter does "
                f"not stay the chat model. Freeze it (requires_grad_(False)), {_WAY_OUT}."
            )


def _configs(model: nn.Module) -> list[tuple[str, Any]]:
    """The adapters' configurations by name."""
    return list(model.peft_config.items())  # type: ignore[union-attr,operator]
