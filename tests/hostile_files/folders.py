"""Folders of runs and reports."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save as serialise

from hostile_files.adapters import Code
from hostile_files.case import DEEP, LONG_NUMBER, Build, Case
from narrows.errors import AdapterError, DataError, ModelError, RunFolderError
from tiny_models import make_model, make_tokenizer


def run_folder(marker: str, checkpoints: dict[str, bytes] | None = None) -> Build:
    """A training run's folder."""

    def build(path: Path) -> None:
        (path / "checkpoints").mkdir(parents=True)
        (path / "run.json").write_text(marker)
        for name, data in (checkpoints or {}).items():
            (path / "checkpoints" / name).write_bytes(data)

    return build


def runs() -> Iterator[Case]:
    """Folders of training runs, and of finished jobs."""
    for what, marker, said in (
        ("run.json that is none", "{", "is not readable JSON"),
        ("run.json nested beyond reason", DEEP, "nested too deeply"),
        ("run.json that is a list", "[]", "a list where an object"),
        ("run.json of something else", '{"kind": "x"}', "is not that of a training run"),
        ("a recipe that is none", '{"recipe": {"alpha": []}}', "is not that of a training run"),
    ):
        yield Case("run", what, "run", run_folder(marker), said, RunFolderError, "run.json")
    good = json.dumps({"recipe": {"layer": 1}})
    facts = {"info": json.dumps({"log": []})}
    eight, nine = (serialise({"vector": torch.ones(n)}, metadata=facts) for n in (8, 9))
    for what, files, said, named in (
        ("a checkpoint cut short", {"step-000001.safetensors": eight[:-3]}, "is cut short", "step-000001"),
        (
            "a checkpoint of no vector",
            {"step-000001.safetensors": serialise({"x": torch.ones(1)}, metadata=facts)},
            "is cut short or damaged",
            "step-000001",
        ),
        (
            "a checkpoint of another shape",
            {"step-000001.safetensors": serialise({"vector": torch.ones(2, 2)}, metadata=facts)},
            "is cut short or damaged",
            "step-000001",
        ),
        (
            "a checkpoint without facts",
            {"step-000001.safetensors": serialise({"vector": torch.ones(8)})},
            "is cut short or damaged",
            "step-000001",
        ),
        (
            "facts nested beyond reason",
            {"step-000001.safetensors": serialise({"vector": torch.ones(8)}, metadata={"info": DEEP})},
            "nested too deeply",
            "step-000001",
        ),
        (
            "checkpoints of two runs",
            {"step-000001.safetensors": eight, "step-000002.safetensors": nine},
            "of different sizes",
            "checkpoints",
        ),
    ):
        yield Case("run", what, "run", run_folder(good, files), said, AdapterError, named)
    for what, marker, said in (
        ("run.json that is none", "{", "is not readable JSON"),
        ("run.json nested beyond reason", DEEP, "nested too deeply"),
        ("no run of ours", "{}", "holds another run"),
    ):
        yield Case("training again", what, "run", run_folder(marker), said, RunFolderError, "run")


def report_folder(name: str, text: str) -> Build:
    """A finished run's folder, whose other file is right."""

    def build(path: Path) -> None:
        path.mkdir()
        (path / "summary.json").write_text('{"schema": 1}')
        (path / name).write_text(text)

    return build


def model_folder(name: str, text: bytes | str) -> Build:
    """A model's folder, one of whose files is replaced."""

    def build(path: Path) -> None:
        make_model().config.save_pretrained(path)
        make_tokenizer().save_pretrained(path)
        (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    return build


def models() -> Iterator[Case]:
    """Models' folders, as they are read before any weights are."""
    config = json.dumps(make_model().config.to_dict())
    for what, name, text in (
        ("no JSON", "config.json", "{"),
        ("a list", "config.json", "[]"),
        ("nested beyond reason", "config.json", DEEP),
        ("not UTF-8", "config.json", b"\xff"),
        ("an infinite width", "config.json", config.replace('"hidden_size": 32', '"hidden_size": 1e999')),
        ("no heads", "config.json", config.replace('"num_attention_heads": 4', '"num_attention_heads": 0')),
        ("a type that is a list", "config.json", config.replace('"qwen2"', "[1]")),
        ("code of its own", "config.json", '{"model_type": "x", "auto_map": {"AutoConfig": "x.X"}}'),
        ("a tokenizer that is none", "tokenizer.json", "{"),
        ("a tokenizer that is a list", "tokenizer.json", "[]"),
        ("a tokenizer nested beyond reason", "tokenizer.json", DEEP),
        ("settings that are a list", "tokenizer_config.json", "[]"),
        ("a class that is a number", "tokenizer_config.json", '{"tokenizer_class": 7}'),
        ("a template that is none", "chat_template.jinja", "{% for %}"),
        ("a template not in UTF-8", "chat_template.jinja", b"\xff"),
    ):
        yield Case("model", what, "model", model_folder(name, text), "model", ModelError)
        yield Case("loaded model", what, "model", model_folder(name, text), "model", ModelError)
    yield Case("model", "nothing", "./model", lambda path: None, "does not exist", ModelError, "model")
    for what, name, text in (
        ("weights cut short", "model.safetensors", b"\x10"),
        ("a huge header", "model.safetensors", b"\xff" * 8 + b"x" * 100),
        ("code among the weights", "pytorch_model.bin", pickle.dumps(Code())),
        ("weights that are none", "pytorch_model.bin", b"junk"),
        ("an index that is a list", "model.safetensors.index.json", "[]"),
        ("an index that climbs", "model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}'),
        ("a template that fails", "chat_template.jinja", "{{ nothing.at.all }}"),
    ):
        yield Case("loaded model", what, "model", model_folder(name, text), "model", ModelError)


def reports() -> Iterator[Case]:
    """What ``narrows report`` reads."""
    lopsided = {
        "name": "x",
        "steps": [1, 2],
        "cos_general": [0.1],
        "cos_narrow": [],
        "norm": [],
        "components": [],
    }
    far = {"solution": "x", "norm": -1e308, "loss": 1e308, "loss_ci95": [-1e308, 1e308]}
    path = {"explained_variance_ratio": [1.0], "standardised": True, "runs": [lopsided]}
    for what, name, text, said in (
        ("no JSON", "summary.json", "{", "is not readable JSON"),
        ("empty", "summary.json", "", "is not readable JSON"),
        ("a list", "summary.json", "[]", "a list where an object"),
        ("nested beyond reason", "summary.json", DEEP, "nested too deeply"),
        (
            "an infinite number",
            "summary.json",
            '{"schema": 1, "timings": {"a": 1e999}}',
            "beyond all numbers",
        ),
        ("a number of 5000 digits", "summary.json", f'{{"schema": {LONG_NUMBER}}}', "is not readable JSON"),
        ("another schema", "summary.json", '{"schema": 2}', "is not a summary of schema 1 (schema: "),
        ("no schema", "summary.json", "{}", "is not a summary of schema 1 (schema: "),
        ("a name twice", "summary.json", '{"schema": 1, "schema_": 1, "x": 2}', "x: Extra inputs"),
        ("a table that is a number", "summary.json", '{"schema": 1, "claims": 7}', "claims: "),
        (
            "numbers that cannot be drawn",
            "summary.json",
            json.dumps({"schema": 1, "efficiency": [far, far | {"norm": 1e308, "loss": -1e308}]}),
            "numbers that cannot be drawn",
        ),
        (
            "columns of several lengths",
            "summary.json",
            json.dumps({"schema": 1, "trajectories": [path]}),
            "one value for each step",
        ),
        ("reading matter that is none", "report.json", "{", "is not readable JSON"),
        ("reading matter that is a list", "report.json", "[]", "a list where an object"),
        (
            "reading matter nested beyond reason",
            "report.json",
            '{"config": {"a": ' + "[" * 800 + "]" * 800 + "}}",
            "nested too deeply",
        ),
        ("quotes that are none", "report.json", '{"quotes": [7]}', "quotes.0"),
    ):
        yield Case("report", what, "job", report_folder(name, text), said, DataError, name)
