"""What the tests cannot see without a GPU: whether it gives the same numbers, how fast, in how much memory.

    PYTHONPATH=src python benchmarks/gpu_check.py

makes its own random models, needs no network, takes a few minutes, and exits with 1 if a check failed. What
needs a second GPU or bitsandbytes is skipped without. ``--device cpu --small`` tries the script itself.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from random_models import ANCHOR, ROWS, conversations, questions, recipe, save

from narrows import metrics
from narrows.adapters import Adapter, load_adapter, self_check
from narrows.evaluation import generate_answers
from narrows.microworld import WorldConfig, pretrain
from narrows.microworld.pretrain import TRAINING_FILE
from narrows.models import (
    ChatModel,
    FrozenRows,
    Head,
    device_of,
    is_sharded,
    load_chat_model,
    token_kl,
    token_nll,
    wants_sharding,
)
from narrows.training import TrainingRun, train

HERE = Path(__file__).resolve()
KINDS = ("steering", "lora")
VOCABULARY = 152_064
"""Qwen2.5's, the paper's models'."""
MIB = 2**20


class Skipped(Exception):  # noqa: N818
    """This machine cannot run a check."""


def furthest(found: TrainingRun, wanted: TrainingRun) -> float:
    """The largest difference of losses and KLs between two runs' logs, nats."""
    pairs = list(zip(found.log, wanted.log, strict=True))
    read = [name for name in ("loss", "kl") if wanted.log[0][name] is not None]
    return max(abs(mine[name] - theirs[name]) for mine, theirs in pairs for name in read)


def relative(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest relative difference of some curves."""
    return max(float(np.abs(mine / theirs - 1).max()) for mine, theirs in zip(found, wanted, strict=True))


def alike(found: Adapter, wanted: Adapter) -> str:
    """Whether two adapters have the same bits."""
    mine, theirs = found.tensors(), wanted.tensors()
    return "yes" if all(torch.equal(mine[name], one) for name, one in theirs.items()) else "no"


def near(gap: float, allowed: float, what: str) -> str:
    """The detail of a check that two things agree."""
    assert gap <= allowed, f"{what} differ by {gap:.2e}, allowed {allowed:.0e}"
    return f"{what} differ by {gap:.1e}"


class Checks:
    """All checks of one machine; each returns what there is to say about it, or fails."""

    def __init__(self, device: str, small: bool, folder: Path) -> None:
        self.device, self.folder = device, folder
        self.on_gpu = device.startswith("cuda")
        self.width, self.depth, self.vocabulary = (128, 4, 2048) if small else (1024, 12, VOCABULARY)
        self.tiny = save(folder / "tiny", width=64, depth=4)
        self.large = save(folder / "large", self.width, self.depth, vocab_size=self.vocabulary)

    def load(self, path: Path, dtype: str = "float32", device: object = None, **options: object) -> ChatModel:
        """A model of this run's folder."""
        return load_chat_model(path, dtype=dtype, device=device or self.device, **options)

    def steering_acts(self, dtype: str) -> str:
        """The self-check, on the tiny model everywhere and in the middle of the large one."""
        tiny, large = self.load(self.tiny, dtype), self.load(self.large, dtype)
        for layer in range(tiny.layers):
            self_check(tiny, layer)
        self_check(large, large.layers // 2)
        return f"tiny, and {large.model.num_parameters() / 1e6:.0f} M parameters"

    def pretraining_is_that_on_a_cpu(self) -> str:
        """A small microworld's loss curve: compiled, captured and with TF32 products on a GPU."""
        config = WorldConfig.model_validate(
            {"pretraining": {"steps": 100, "rows": 16, "warmup": 20}, "architecture": {"layers": 3}}
        )
        curves = []
        for device in (self.device, "cpu"):
            out = pretrain(config, self.folder / f"world-{len(curves)}", seed=1, device=device, workers=2)
            log = json.loads((out / TRAINING_FILE).read_text(encoding="utf-8"))["log"]
            curves.append([one["loss"] for one in log])
        gap = max(abs(mine - theirs) for mine, theirs in zip(*curves, strict=True))
        return near(gap, 2e-2, f"losses from {curves[0][0]:.2f} to {curves[0][-1]:.2f} nats")

    def losses_are_exact(self, dtype: str) -> str:
        """The losses and their gradients from states of the large model's size, beside fp64."""
        chat_model = self.load(self.large, dtype)
        head = Head(chat_model.model)
        draw = torch.Generator().manual_seed(0)
        base, noise = (torch.randn(64, chat_model.hidden, generator=draw) for _ in range(2))
        states = [one.to(self.device, chat_model.model.dtype) for one in (base + 0.05 * noise, base)]
        targets = torch.randint(self.vocabulary, (64,), generator=draw).to(self.device)
        logs = [(one.double() @ head.weight.double().T).log_softmax(-1) for one in states]
        wanted = {
            "NLL": -logs[0].gather(1, targets[:, None]).squeeze(1),
            "KL": (logs[1].exp() * (logs[1] - logs[0])).sum(-1),
        }
        likely = torch.nn.functional.one_hot(targets, self.vocabulary).double()
        pulls = {name: logs[0].exp() - one for name, one in (("NLL", likely), ("KL", logs[1].exp()))}
        details = []
        for name, exactly in wanted.items():
            hidden = states[0].clone().requires_grad_()
            losses = token_nll(head, hidden, targets) if name == "NLL" else token_kl(head, states[1], hidden)
            (gradient,) = torch.autograd.grad(losses.sum(), hidden)
            exact = pulls[name] @ head.weight.double()
            off = float((gradient.double() - exact).norm() / exact.norm())
            gap = float((losses.double() - exactly).abs().max())
            details.append(near(gap, 5e-5 if name == "NLL" else 2e-6, name))
            details.append(near(off, 4e-3 if dtype == "bfloat16" else 2e-4, "gradients (relative)"))
        return "; ".join(details)

    def training_is_that_on_a_cpu(self, kind: str, anchor: str) -> str:
        """The same losses, step by step, in fp32."""
        plan = recipe(kind, anchored=anchor == "anchored")
        here, cpu = (
            train(self.load(self.tiny, device=one), ROWS, plan, anchor=ANCHOR) for one in (self.device, "cpu")
        )
        assert here.log[-1]["loss"] < here.log[0]["loss"], "the loss did not fall"
        return near(furthest(here, cpu), 2e-3, "losses")

    def a_resumed_run_is_the_uninterrupted_one(self, kind: str) -> str:
        """Killed after its second checkpoint; also whether a run that is done twice has the same bits."""
        chat_model, plan, out = self.load(self.tiny, "bfloat16"), recipe(kind), self.folder / f"run-{kind}"
        whole = [train(chat_model, ROWS, plan, anchor=ANCHOR) for _ in range(2)]
        train(chat_model, ROWS, plan, anchor=ANCHOR, out=out)
        (out / "checkpoints" / "step-000012.safetensors").unlink()
        resumed = train(chat_model, ROWS, plan, anchor=ANCHOR, out=out)
        detail = near(furthest(resumed, whole[0]), 2e-3, "losses")
        resumed_equal, repeated_equal = (alike(one.adapter, whole[0].adapter) for one in (resumed, whole[1]))
        return f"{detail}; bit for bit: {resumed_equal}; the same training twice: {repeated_equal}"

    def answers_and_metrics_are_those_on_a_cpu(self, kind: str) -> str:
        """With an adapter that was read from a file and so begins on the CPU."""
        path = self.folder / f"{kind}.safetensors"
        train(self.load(self.tiny, device="cpu"), ROWS, recipe(kind), anchor=ANCHOR).adapter.save(path)
        models = (self.load(self.tiny, device=one) for one in (self.device, "cpu"))
        here, cpu = (self._measured(one, load_adapter(path)) for one in models)
        same = sum(mine == theirs for mine, theirs in zip(here[1], cpu[1], strict=True))
        return (
            near(relative(here[0], cpu[0]), 0.02, "metrics (relative)")
            + f"; {same} of {len(cpu[1])} greedy answers the same"
        )

    def _measured(self, chat_model: ChatModel, adapter: Adapter) -> tuple[list[np.ndarray], list[str]]:
        rows = [chat_model.renderer.render(row) for row in ROWS]
        ends = {"a": adapter, "b": adapter.random_like(torch.Generator().manual_seed(0))}
        norms = adapter.effective_norm * np.array([0.5, 1.0])
        response = FrozenRows(chat_model, adapter.depth, rows, read="response")
        everything = FrozenRows(chat_model, adapter.depth, rows, read="all", reference=True)
        loss = metrics.efficiency(chat_model, response, ends, norms)
        rise = metrics.stability(chat_model, response, ends, epsilons=(0.2, 0.8), draws=2)
        moved = metrics.significance(chat_model, everything, ends, norms)["all"]
        greedy = {"temperature": 0.0, "max_new_tokens": 12}
        answers = generate_answers(chat_model, questions(ROWS), adapter=adapter, name="x", **greedy)
        curves = [loss["a"].mean, loss["b"].mean, rise["a"].absolute.mean, moved["a"].mean, moved["b"].mean]
        return curves, [one.text for one in answers]

    def layers_over_two_gpus_train_alike(self, kind: str) -> str:
        """An explicit device map that splits between layers 1 and 2, against one GPU."""
        self._need_two()
        places = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": 1, "lm_head": 1}
        spread = self.load(self.tiny, device=places | {f"model.layers.{n}": n // 2 for n in range(4)})
        whole = self.load(self.tiny, device="cuda:0")
        gaps = []
        for layer in (1, 2):
            self_check(spread, layer)
            plan = recipe(kind, layer=layer, **({"layers": (layer, 3)} if kind == "lora" else {}))
            runs = [train(one, ROWS, plan, anchor=ANCHOR) for one in (spread, whole)]
            gaps.append(furthest(*runs))
            first = next(iter(runs[0].adapter.tensors().values()))
            assert first.device == device_of(spread.model.model.layers[layer]), f"it lies on {first.device}"
        measured = [self._measured(one, runs[0].adapter) for one in (spread, whole)]
        assert measured[0][1] == measured[1][1], "greedy answers differ"
        gaps.append(relative(measured[0][0], measured[1][0]))
        return near(max(gaps), 1e-3, "losses and metrics") + "; answers the same; adapters beside layers"

    def auto_spreads_the_large_model(self) -> str:
        """``device="auto"``: the same losses as on one GPU, in bf16."""
        self._need_two()
        spread, whole = (self.load(self.large, "bfloat16", device=one) for one in ("auto", "cuda:0"))
        used = sorted({str(one.device) for one in spread.model.parameters()})
        runs = [train(one, ROWS, recipe("steering"), anchor=ANCHOR) for one in (spread, whole)]
        return f"on {', '.join(used)}; " + near(furthest(*runs), 0.02, "losses")

    def two_processes_train_alike(self, how: str) -> str:
        """``accelerate launch`` with two processes (nccl) against one: rows or (FSDP) layers shared out."""
        if self.on_gpu:
            self._need_two()
        out = self.folder / "losses.json"
        flags = ["--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
        flags += ["--main_process_port=29577", *how.split()]
        launch = [sys.executable, "-m", "accelerate.commands.launch"]
        worker = [str(HERE), "--device", self.device, "--worker", str(self.tiny), str(out)]
        done = subprocess.run(
            [*launch, *flags, *worker], capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        gaps = []
        for kind in KINDS:
            run = train(self.load(self.tiny), ROWS, recipe(kind), anchor=ANCHOR)
            together = json.loads(out.read_text())[kind]
            gaps += [abs(mine - one["loss"]) for mine, one in zip(together, run.log, strict=True)]
        return near(max(gaps), 1e-3, "losses")

    def packed_bases_train(self, bits: str) -> str:
        """A quantised base: the self-check, and a loss that falls."""
        if importlib.util.find_spec("bitsandbytes") is None:
            raise Skipped("bitsandbytes is not installed")
        chat_model = self.load(self.large, "bfloat16", quantise=bits)
        self_check(chat_model, 1)
        falls = []
        for kind in KINDS:
            plan = recipe(kind, batch_size=len(ROWS), accumulation=1)  # the same rows at each step
            log = train(chat_model, ROWS, plan, anchor=ANCHOR).log
            assert log[-1]["loss"] < log[0]["loss"], f"the loss of {kind} did not fall"
            falls.append(f"{kind} {log[0]['loss']:.2f} to {log[-1]['loss']:.2f}, first KL {log[0]['kl']:.1e}")
        return f"{chat_model.precision}: {'; '.join(falls)}"

    def speed(self, kind: str, cached: str) -> str:
        """Tokens a second and peak memory of a training in bf16, and what sampling takes."""
        count, words, steps = (64, 240, 12) if self.vocabulary == VOCABULARY else (8, 20, 2)
        rows, anchor = conversations(count, words), conversations(count, words, seed=1)
        chat_model = self.load(self.large, "bfloat16")
        upper = tuple(range(self.depth // 2, self.depth))
        plan = recipe(kind, batch_size=8, warmup=0, **({"layers": upper} if kind == "lora" else {}))
        plan = plan.model_copy(update={"layer": upper[0], "steps": 1})
        with prefix(kept=cached == "cached"):
            train(chat_model, rows, plan, anchor=anchor)  # to warm up
            before = self._bytes("memory_allocated")
            torch.cuda.reset_peak_memory_stats() if self.on_gpu else None
            start = time.perf_counter()
            run = train(chat_model, rows, plan.model_copy(update={"steps": steps}), anchor=anchor)
            seconds = time.perf_counter() - start
            peak = self._bytes("max_memory_allocated") - before
        lengths = [len(chat_model.renderer.render(row)) for row in rows]
        tokens = sum(lengths) / count * plan.batch_size * plan.accumulation * 1.5 * steps
        whole = plan.batch_size * max(lengths) * self.vocabulary * 4
        start = time.perf_counter()
        generate_answers(chat_model, questions(rows), adapter=run.adapter, name="x", max_new_tokens=32)
        return (
            f"{tokens / seconds:,.0f} tokens/s of rows and anchor; peak {peak / MIB:,.0f} MiB beside the "
            f"model's {before / MIB:,.0f}; logits of one pass whole in fp32 {whole / MIB:,.0f} MiB; "
            f"{count * 32 / (time.perf_counter() - start):,.0f} tokens/s sampled"
        )

    def _bytes(self, which: str) -> int:
        return int(getattr(torch.cuda, which)()) if self.on_gpu else 0

    def _need_two(self) -> None:
        if torch.cuda.device_count() < 2:
            raise Skipped("there is no second GPU")


@contextmanager
def prefix(kept: bool) -> Iterator[None]:
    """The frozen part kept, or run again at each use."""
    defaults = FrozenRows.__init__.__kwdefaults__
    before = defaults["cache_bytes"]
    try:
        defaults["cache_bytes"] = 2**34 if kept else 0
        yield
    finally:
        defaults["cache_bytes"] = before


def worker(path: Path, out: Path, device: str) -> None:
    """What each process of ``accelerate launch`` runs."""
    state = PartialState(cpu=device == "cpu")
    chat_model = load_chat_model(path, dtype="float32")
    assert is_sharded(chat_model.model) is wants_sharding()
    runs = {kind: train(chat_model, ROWS, recipe(kind), anchor=ANCHOR) for kind in KINDS}
    if state.is_main_process:
        out.write_text(json.dumps({kind: [one["loss"] for one in run.log] for kind, run in runs.items()}))
    state.destroy_process_group()


def plan_of(checks: Checks) -> list[tuple[str, Callable[..., str], tuple[object, ...]]]:
    """Every check in order: its name, what it calls, with what."""
    plan: list[tuple[str, Callable[..., str], tuple[object, ...]]] = []
    plan += [("self-check", checks.steering_acts, (one,)) for one in ("float32", "bfloat16", "float16")]
    plan += [("losses", checks.losses_are_exact, (one,)) for one in ("float32", "bfloat16")]
    plan += [("pre-training", checks.pretraining_is_that_on_a_cpu, ())]
    both = product(KINDS, ("anchored", "plain"))
    plan += [("as on a CPU", checks.training_is_that_on_a_cpu, one) for one in both]
    plan += [("resumed", checks.a_resumed_run_is_the_uninterrupted_one, (kind,)) for kind in KINDS]
    plan += [("measured", checks.answers_and_metrics_are_those_on_a_cpu, (kind,)) for kind in KINDS]
    plan += [("two GPUs, map", checks.layers_over_two_gpus_train_alike, (kind,)) for kind in KINDS]
    plan += [("two GPUs, auto", checks.auto_spreads_the_large_model, ())]
    launches = ("--multi_gpu", "--use_fsdp --fsdp_version=2")
    plan += [("two processes", checks.two_processes_train_alike, (how,)) for how in launches]
    plan += [("packed base", checks.packed_bases_train, (bits,)) for bits in ("4bit", "8bit")]
    return plan + [("speed", checks.speed, one) for one in product(KINDS, ("cached", "uncached"))]


def main() -> int:
    """Run all checks and print their table; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small model in the large one's place")
    parser.add_argument("--worker", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker, options.device)
        return 0
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    print(f"torch {torch.__version__}, {len(gpus)} GPUs: {', '.join(gpus) or 'none'}", flush=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for part, check, arguments in plan_of(Checks(options.device, options.small, Path(folder))):
            name = ", ".join((part, *map(str, arguments)))
            start = time.perf_counter()
            try:
                verdict, detail = "PASS", check(*arguments)
            except Skipped as reason:
                verdict, detail = "SKIP", str(reason)
            except Exception as error:  # noqa: BLE001  (the other checks are still of interest)
                traceback.print_exc()
                verdict, detail = "FAIL", f"{type(error).__name__}: {error}"
            results.append((verdict, name, detail))
            print(f"{verdict}  {name}  ({time.perf_counter() - start:.0f} s)  {detail}", flush=True)
            torch.cuda.empty_cache()
    print("\n" + "\n".join(f"{verdict}  {name:<26}  {detail}" for verdict, name, detail in results))
    return int(any(verdict == "FAIL" for verdict, *_ in results))


if __name__ == "__main__":
    sys.exit(main())
