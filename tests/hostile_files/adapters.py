"""Adapters: of our own format, published vectors, and PEFT's folders."""

import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save as serialise

from hostile_files.case import DEEP, LONG_NUMBER, ROWS, Build, Case, content
from hostile_files.rows import zipped
from narrows.errors import AdapterError
from narrows.files import digest

VECTOR = {
    "format": "narrows.steering-vector/1",
    "layer": 1,
    "alpha": 1.0,
    "hidden": 8,
    "norm": 1.0,
    "effective_norm": 1.0,
    "metadata": {},
}
LORA = {"format": "narrows.lora/1", "rank": 1, "alpha": 1.0, "rslora": True, "modules": ["1.mlp.down_proj"]}
FACTORS = {"1.mlp.down_proj.lora_A": torch.ones(1, 8), "1.mlp.down_proj.lora_B": torch.ones(8, 1)}


def adapter(
    facts: dict[str, object], tensors: dict[str, torch.Tensor] | bytes, beside: str | None = None
) -> Build:
    """An adapter's two files, whose digest fits."""

    def build(path: Path) -> None:
        data = tensors if isinstance(tensors, bytes) else serialise(tensors)
        path.write_bytes(data)
        text = json.dumps(facts | {"tensors": digest(data)}) if beside is None else beside
        path.with_suffix(".json").write_text(text)

    return build


def directions() -> Iterator[Case]:
    """Steering vectors whose direction is none, or is said in another way than ours."""
    ones = {"vector": torch.ones(8)}
    for what, metadata, tensors, said in (
        ("zero", {}, {"vector": torch.zeros(8)}, "has no direction"),
        ("a direction that is a list", {"direction": [1]}, ones, "not what narrows writes"),
        ("a direction that is a text", {"direction": "x"}, ones, "not what narrows writes"),
        ("found by a list", {"direction": {"found": [1, 2]}}, ones, "not what narrows writes"),
        ("found by a text", {"direction": {"name": 3, "found": "abc"}}, ones, "not what narrows writes"),
    ):
        facts = VECTOR | {"metadata": metadata}
        for kind in ("direction", "compared direction"):
            yield Case(kind, what, "a.safetensors", adapter(facts, tensors), said, AdapterError)
    lora = adapter(LORA, FACTORS)
    for kind in ("direction", "compared direction"):
        yield Case(kind, "a LoRA", "a.safetensors", lora, "narrows direction singular", AdapterError)


def adapters() -> Iterator[Case]:
    """Adapters of our own format."""
    ones, whole = {"vector": torch.ones(8)}, serialise({"vector": torch.ones(8)})
    unknown = whole.replace(b'"F32"', b'"F99"')
    for what, facts, tensors, said in (
        ("cut short", VECTOR, whole[:-4], "is cut short or damaged"),
        ("empty", VECTOR, b"", "is cut short or damaged"),
        ("a huge header", VECTOR, b"\xff" * 7 + b"\0" + whole, "is cut short or damaged"),
        ("a type that is not known", VECTOR, unknown, "is cut short or damaged"),
        ("not finite", VECTOR, {"vector": torch.full((8,), torch.nan)}, "vector is not finite"),
        ("a norm beyond all numbers", VECTOR, {"vector": torch.full((8,), 3e38)}, "beyond all numbers"),
        ("another shape", VECTOR, {"vector": torch.ones(2, 4)}, "holds a vector of shape (2, 4)"),
        ("no vector", VECTOR, {"other": torch.ones(8)}, "lacks 'vector'"),
        ("an α that is a list", VECTOR | {"alpha": []}, ones, "holds a wrong value"),
        ("an α of 0", VECTOR | {"alpha": 0}, ones, "alpha is 0"),
        ("a layer below 0", VECTOR | {"layer": -1}, ones, "layer is -1"),
        ("metadata that is a number", VECTOR | {"metadata": 7}, ones, "holds a wrong value"),
        ("another format", VECTOR | {"format": ["x"]}, ones, "has format ['x']"),
        ("a LoRA without its factors", LORA, ones, "lacks '1.mlp.down_proj.lora_A'"),
        ("a LoRA of no modules", LORA | {"modules": 3}, FACTORS, "holds a wrong value"),
        ("a LoRA of odd modules", LORA | {"modules": [["a"]]}, FACTORS, "lacks"),
        (
            "a LoRA of shapes that do not fit",
            LORA,
            {**FACTORS, "1.mlp.down_proj.lora_B": torch.ones(8, 3)},
            "must be (rank, in)",
        ),
        (
            "a LoRA that is not finite",
            LORA,
            {**FACTORS, "1.mlp.down_proj.lora_A": torch.full((1, 8), torch.inf)},
            "is not finite",
        ),
    ):
        named = "v.json" if what == "another format" else ""
        yield Case("adapter", what, "v.safetensors", adapter(facts, tensors), said, AdapterError, named)
    for what, beside, said in (
        ("JSON that is none", "{", "is not readable JSON"),
        ("JSON nested beyond reason", DEEP, "nested too deeply"),
        ("JSON nested below what breaks", '{"a":' + "[" * 500 + "]" * 500 + "}", "nested too deeply"),
        ("JSON that is a list", "[]", "a list where an object"),
        ("JSON with an infinite α", json.dumps(VECTOR)[:-1] + ', "alpha": 1e999}', "beyond all numbers"),
        ("JSON with a long number", f'{{"layer": {LONG_NUMBER}}}', "is not readable JSON"),
    ):
        build = adapter({}, ones, beside)
        yield Case("adapter", what, "v.safetensors", build, said, AdapterError, "v.json")
    yield Case(
        "adapter",
        "changed since",
        "v.safetensors",
        adapter({}, ones, json.dumps(VECTOR | {"tensors": "0"})),
        "is not the file that",
        AdapterError,
    )
    yield Case("adapter", "nothing", "v.safetensors", lambda path: None, "does not exist", AdapterError)


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("ran"),))  # type: ignore[return-value]


def published(value: object) -> Build:
    """A file that ``torch.save`` wrote."""
    return lambda path: torch.save(value, path)


def published_vectors() -> Iterator[Case]:
    """Other people's steering vectors."""
    ones = torch.ones(8)
    buffer = io.BytesIO()
    torch.save({"steering_vector": ones, "layer_idx": 1}, buffer)
    for what, build, said in (
        ("code", content(pickle.dumps(Code())), "holds code, which is never run"),
        ("code in torch's zip", published({"steering_vector": Code()}), "holds code, which is never run"),
        ("empty", content(""), "cannot be read as plain tensors"),
        ("no pickle", content(ROWS), "cannot be read as plain tensors"),
        ("cut short", content(buffer.getvalue()[:-200]), "cannot be read as plain tensors"),
        (
            "a folder in a zip",
            content(zipped({"data.pkl": b"\x80\x02}."})),
            "cannot be read as plain tensors",
        ),
        ("a text", published("hello"), "holds no steering vector"),
        ("several numbers a row", published(torch.ones(2, 4)), "holds no steering vector"),
        ("no number", published({"steering_vector": torch.ones(0), "layer": 1}), "holds no steering vector"),
        (
            "a width beyond reason",
            published({"steering_vector": torch.ones(1).expand(2**40), "layer": 1}),
            "no steering vector is that long",
        ),
        (
            "numbers without a fraction",
            published({"steering_vector": ones.long(), "layer": 1}),
            "holds no steering vector of shape",
        ),
        (
            "a sparse vector",
            published({"steering_vector": ones.to_sparse(), "layer": 1}),
            "holds no steering vector of shape",
        ),
        ("not finite", published({"steering_vector": ones / 0, "layer": 1}), "is not finite"),
        ("no layer", published(ones), "does not say its layer"),
        (
            "a layer that is a list",
            published({"steering_vector": ones, "layer": []}),
            "its layer, alpha or width is no number",
        ),
        (
            "an infinite layer",
            published({"steering_vector": ones, "layer": float("inf")}),
            "its layer, alpha or width is no number",
        ),
        ("another width", published({"steering_vector": ones, "layer": 1, "d_model": 9}), "width is 9"),
        (
            "a width that is a tensor",
            published({"steering_vector": ones, "layer": 1, "d_model": ones}),
            "its layer, alpha or width is no number",
        ),
        (
            "an α that is a text",
            published({"steering_vector": ones, "layer": 1, "alpha": "x"}),
            "its layer, alpha or width is no number",
        ),
    ):
        yield Case("adapter", what, "v.pt", build, said, AdapterError)

    def beside(path: Path) -> None:
        torch.save(ones, path)
        path.with_name("metadata.json").write_text(DEEP)

    yield Case(
        "adapter", "metadata nested beyond reason", "v.pt", beside, "nested", AdapterError, "metadata.json"
    )


PEFT = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
PLACE = "base_model.model.model.layers.1.mlp.down_proj"
PAIR = {f"{PLACE}.lora_A.weight": torch.ones(1, 8), f"{PLACE}.lora_B.weight": torch.ones(8, 1)}


def peft(config: object, tensors: dict[str, torch.Tensor] | bytes | None) -> Build:
    """A PEFT folder."""

    def build(path: Path) -> None:
        path.mkdir()
        text = config if isinstance(config, str) else json.dumps(config)
        (path / "adapter_config.json").write_text(text)
        if tensors is not None:
            data = tensors if isinstance(tensors, bytes) else serialise(tensors)
            (path / "adapter_model.safetensors").write_bytes(data)

    return build


def peft_folders() -> Iterator[Case]:
    """PEFT's adapters."""
    climbing = {name.replace("down_proj", "../../../x"): tensor for name, tensor in PAIR.items()}
    far = {name.replace("layers.1", f"layers.{LONG_NUMBER}"): tensor for name, tensor in PAIR.items()}
    for what, config, tensors, said, named in (
        ("JSON that is none", "{", PAIR, "is not readable JSON", "adapter_config.json"),
        ("JSON nested beyond reason", DEEP, PAIR, "nested too deeply", "adapter_config.json"),
        ("JSON that is a list", "[]", PAIR, "a list where an object", "adapter_config.json"),
        (
            "another type",
            PEFT | {"peft_type": {"a": 1}},
            PAIR,
            "only LORA can be read",
            "adapter_config.json",
        ),
        ("DoRA", PEFT | {"use_dora": True}, PAIR, "sets use_dora", "adapter_config.json"),
        ("an α that is a list", PEFT | {"lora_alpha": [1]}, PAIR, "is no number", "adapter_config.json"),
        ("an α below 0", PEFT | {"lora_alpha": -1}, PAIR, "alpha is -1", "adapter_model.safetensors"),
        ("no weights", PEFT, None, "is missing or cannot be read", "adapter_model.safetensors"),
        (
            "weights cut short",
            PEFT,
            serialise(PAIR)[:-5],
            "cut short or damaged",
            "adapter_model.safetensors",
        ),
        ("no tensors", PEFT, {}, "changes at least one module", "adapter_model.safetensors"),
        ("half a pair", PEFT, dict([*PAIR.items()][:1]), "only one of its two factors", "adapter_model"),
        ("other shapes", PEFT, {n: torch.ones(2, 3) for n in PAIR}, "must be (rank, in)", "adapter_model"),
        ("not finite", PEFT, {n: t * torch.nan for n, t in PAIR.items()}, "is not finite", "adapter_model"),
        ("a name that is no module", PEFT, {"../../x": torch.ones(1)}, "is no factor", "adapter_model"),
        ("a layer of 5000 digits", PEFT, far, "wrong value", "adapter_model"),
    ):
        yield Case("adapter", what, "peft", peft(config, tensors), said, AdapterError, named)
    yield Case(
        "peft on a model",
        "a name that climbs",
        "peft",
        peft(PEFT, climbing),
        "has no module",
        AdapterError,
        "../../../x",
    )
