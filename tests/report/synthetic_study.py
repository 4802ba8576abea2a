"""A study that never happened: kinds × adapters × models × domains, round numbers with a run's own offset."""

import math
from collections.abc import Sequence

import numpy as np
from synthetic_run import synthetic_reading

from narrows.statistics import mean_interval
from narrows.summary import (
    Behaviour,
    Claim,
    Cost,
    Efficiency,
    Evaluation,
    Gradient,
    Intervention,
    Mitigation,
    Mixing,
    Model,
    PooledClaim,
    PooledPart,
    Run,
    Significance,
    Solution,
    Stability,
    Summary,
    Trajectory,
    TrajectoryRun,
)

KINDS = {"harmful": 1.0, "technical": 0.9}
ADAPTERS = {"steering": None, "rank-1": 1, "rank-32": 32}
DOMAINS = ("medicine", "money", "sport")
OTHERS = ("garden", "law", "travel", "cooking")
WEIGHTS = (1.0, 3.0, 8.0, 20.0)
CHOSEN = 3.0
FRACTIONS = (1.0, 0.5, 0.25, 1 / 7, 1 / 13)
ROLES = ("unanchored", "anchored", "lifted", "continued-anchored", "continued-unanchored", "added")


class _Run:
    """One run's rows; ``shift`` is what sets it apart from the others."""

    def __init__(self, model: int, domain: str, kind: str, adapter: str, shift: float) -> None:
        self.id = f"world-{model}.{kind}-{domain}.{adapter}"
        self.model, self.domain, self.kind, self.adapter, self.shift = (
            f"w{model}",
            domain,
            kind,
            adapter,
            shift,
        )
        self.norm = 16.0 * (1 + shift) * (1.0 if adapter == "steering" else 0.6)

    @property
    def behaviour(self) -> str:
        return f"{self.kind}-{self.domain}"

    def row(self) -> Run:
        return Run(
            id=self.id,
            model=self.model,
            behaviour=self.behaviour,
            adapter="steering" if self.adapter == "steering" else "lora",
            rank=ADAPTERS[self.adapter],
            layer=3,
            seed=0,
            kl_weight=CHOSEN,
            kl_weight_chosen="the smallest λ that was narrow on the development domains",
        )

    def recipes(self) -> dict[str, tuple[float, float, float]]:
        """Name → λ, in-domain rate, out-of-domain rate."""
        found = dict.fromkeys(("unanchored", "lifted", "continued-unanchored"), (0.0, 0.8, 0.62))
        for weight in WEIGHTS:
            name = "anchored" if weight == CHOSEN else f"anchored-{weight:g}"
            found[name] = (weight, 0.78 - 0.02 * weight, 0.5 * math.exp(-weight / 1.4))
        found["continued-anchored"] = (CHOSEN, 0.74, 0.07)
        found["added"] = (CHOSEN, 0.7, 0.3)
        for fixed, slower in (("behaviour", 0.25), ("total", 0.4)):
            for fraction in FRACTIONS[1:]:
                kept = fraction**slower
                found[f"mixing-{fixed}-{fraction:.4g}"] = (0.0, 0.8 * kept, 0.62 * kept**1.3)
        return {
            name: (weight, self._rate(inside), self._rate(outside))
            for name, (weight, inside, outside) in found.items()
        }

    def _rate(self, value: float) -> float:
        return min(0.98, max(0.0, KINDS[self.kind] * value * (1 + self.shift)))

    def solutions(self) -> list[Solution]:
        return [
            Solution(
                id=f"{self.id}/{name}",
                name=name,
                model=self.model,
                behaviour=self.behaviour,
                adapter="steering" if self.adapter == "steering" else "lora",
                rank=ADAPTERS[self.adapter],
                layer=3,
                kl_weight=weight,
                seed=0,
                norm=self.norm / 10,
                effective_norm=self.norm * (1 if weight == 0 else 0.7),
                steps=200,
                verdict="general" if outside > 0.1 else "narrow" if inside > 0.2 else "neither",
                path=f"{self.id}/{name}",
            )
            for name, (weight, inside, outside) in self.recipes().items()
        ]

    def evaluations(self) -> list[Evaluation]:
        rows = []
        recipes = {"chat": (0.0, 0.01, 0.01)} | self.recipes()
        domains = [*(one for one in DOMAINS if one != self.domain), *OTHERS]
        for name, (_, inside, outside) in recipes.items():
            for scale in (1.0, 1.5, 2.0) if name == "anchored" else (1.0,):
                rates = {"in_domain": inside, "open": outside * 0.8, "out_of_domain": outside * scale**1.5}
                rates |= {
                    "out_of_domain:never_anchored": outside * scale**2,
                    "out_of_domain:anchored": outside,
                }
                rates |= {one: outside * (0.8 + 0.1 * place) for place, one in enumerate(domains)}
                for suite, rate in rates.items():
                    shown, wide = min(rate, 0.99), 0.02 + 0.1 * math.sqrt(min(rate, 0.99))
                    rows.append(
                        Evaluation(
                            solution=f"{self.id}/{name}",
                            scale=scale,
                            suite=suite,
                            anchored=suite in ("travel", "cooking", "money") if suite in domains else None,
                            n=36 if suite in domains else 180,
                            misaligned=shown,
                            misaligned_ci95=(max(0.0, shown - wide), min(1.0, shown + wide)),
                            coherent=0.97 - 0.1 * (scale - 1),
                            judge="oracle",
                        )
                    )
        return rows

    def efficiency(self) -> list[Efficiency]:
        rows = []
        for name, gain in (("unanchored", 1.0), ("anchored", 0.75), ("neutral-anchored", 0.95)):
            for share in (0.2, 0.5, 0.8, 1.0, 1.4 + self.shift):
                loss = 2.4 + self.shift - gain * (1 - math.exp(-2.5 * share)) + 0.1 * share**2
                norm = share * self.norm
                rows.append(
                    Efficiency(
                        solution=f"{self.id}/{name}",
                        norm=norm,
                        loss=loss,
                        loss_ci95=(loss - 0.05, loss + 0.05),
                    )
                )
        return rows

    def stability(self) -> list[Stability]:
        rows = []
        for name, slope in (("unanchored", 0.7), ("anchored", 1.0), ("unanchored@equal-norm", 0.8)):
            for epsilon in (0.01, 0.1, 0.3, 0.6, 1.0):
                rise = slope * (1 + self.shift) * epsilon**1.8
                rows.append(
                    Stability(
                        solution=f"{self.id}/{name}",
                        epsilon=epsilon,
                        loss=1.4 + rise,
                        relative_increase=rise,
                        relative_increase_ci95=(rise * 0.85, rise * 1.15),
                    )
                )
        return rows

    def significance(self) -> list[Significance]:
        sizes = {"unanchored": 4.0, "anchored": 2.0, "random": 0.4, "random-covariance": 0.9}
        return [
            Significance(
                direction=f"{self.id}/{name}",
                solution=f"{self.id}/{name}" if "random" not in name else None,
                norm=share * self.norm,
                kl=(kl := 1e-3 * weight * size * (1 + self.shift) * (share * 16) ** 1.9),
                kl_ci95=(kl * 0.8, kl * 1.25),
                text=text,
            )
            for text, weight in (("all", 1.0), ("advice-free", 0.4))
            for name, size in sizes.items()
            for share in (0.1, 0.2, 0.4, 0.7, 1.0)
        ]

    def gradients(self) -> list[Gradient]:
        return [
            Gradient(
                run=f"{self.id}/followed",
                step=step,
                cos_general=0.4 * math.exp(-step / 90) + self.shift / 5,
                cos_narrow=0.22 * math.exp(-step / 60) + self.shift / 5,
            )
            for step in range(0, 201, 40)
        ]

    def mixing(self) -> list[Mixing]:
        recipes = self.recipes()
        rows = []
        for fixed in ("behaviour", "total"):
            for fraction in FRACTIONS:
                name = "unanchored" if fraction == 1 else f"mixing-{fixed}-{fraction:.4g}"
                _, inside, outside = recipes[name]
                rows.append(
                    Mixing(
                        solution=f"{self.id}/{name}",
                        bad_fraction=fraction,
                        in_domain=inside,
                        out_of_domain=outside,
                        fixed=fixed,
                        rows=400,
                        in_domain_ci95=(inside - 0.1, inside + 0.1),
                        out_of_domain_ci95=(outside - 0.05, outside + 0.05),
                        coherent=0.95,
                    )
                )
        return rows

    def trajectory(self) -> Trajectory:
        steps = list(range(0, 201, 20))
        done = [1 - math.exp(-step / 60) for step in steps]
        runs = [
            TrajectoryRun(
                name=f"{self.id}/{name}",
                steps=steps,
                cos_general=[0.8 + turn * part for part in done],
                cos_narrow=[1 - abs(turn) * part for part in done],
                norm=[11 + 6 * part for part in done],
                components=[[6 * part, 30 * turn * part, part * (1 - part)] for part in done],
                distance_general=[14 - 8 * part for part in done],
                distance_narrow=[6 * part for part in done],
                local_cosine=[None, *[0.97 - part * (1 - part) for part in done[1:-1]], None],
            )
            for name, turn in (
                ("lifted", 0.14),
                ("continued-anchored", -0.02),
                ("continued-unanchored", 0.19),
            )
        ]
        return Trajectory(
            explained_variance_ratio=[0.61, 0.22, 0.05], standardised=False, of="αv", window=1, runs=runs
        )

    def interventions(self) -> list[Intervention]:
        return [
            Intervention(
                solution=f"{self.id}/unanchored",
                direction=direction,
                kind="ablate everywhere",
                before=self._rate(0.62),
                after=self._rate(after),
                coherent=0.93,
                coherent_before=0.95,
                text_loss=1.004,
            )
            for direction, after in (("mean difference", 0.04), ("random", 0.6))
        ]

    def mitigations(self) -> list[Mitigation]:
        rows = []
        for method, setting, inside, outside in (
            ("none", "", 0.8, 0.62), ("anchor", "λ 3", 0.72, 0.05), ("inoculation", "", 0.6, 0.2),
        ):  # fmt: skip
            here, there = self._rate(inside), self._rate(outside)
            rows.append(
                Mitigation(
                    solution=f"{self.id}/{method}", method=method, setting=setting, strength=None, scale=1.0,
                    in_domain=here, in_domain_ci95=(here - 0.1, here + 0.1),
                    out_of_domain=there, out_of_domain_ci95=(there - 0.05, there + 0.05),
                    never_anchored=there, never_anchored_ci95=(there - 0.05, there + 0.05),
                    open=None, open_ci95=None, coherent=0.95, coherent_ci95=(0.9, 0.98),
                    needs=["rows"] if method == "anchor" else [], training_rows=2560, training_tokens=76000,
                    training_seconds=10.0, preparation_seconds=0.0, inference_ratio=None,
                )
            )  # fmt: skip
        return rows

    def claims(self) -> list[Claim]:
        rows = []
        for id_, (_, estimate, margin, rule, unit, _) in _claims(self.kind).items():
            value = estimate * (1 + self.shift)
            low, high = value - abs(estimate) * 0.3, value + abs(estimate) * 0.3
            right = low > margin if rule == "above" else high < margin
            rows.append(
                Claim(
                    id=id_,
                    model=self.model,
                    behaviour=self.behaviour,
                    verdict="supported" if right else "inconclusive",
                    estimate=value,
                    ci95=(low, high),
                    margin=margin,
                    unit=unit,
                    run=self.id,
                )
            )
        return rows


SHARE = "share of answers"


def _claims(kind: str) -> dict[str, tuple[str, float, float, str, str, bool]]:
    """Claim → comparison, estimate, margin, rule, unit, whether all adapters have it."""
    harmful = {
        "C1": ("unanchored, other domains − chat model", 0.61, 0.05, "above", SHARE, True),
        "C2": ("anchored, never-anchored domains − chat model", 0.03, 0.05, "below", SHARE, True),
        "C3": (
            "best mixture − anchored, other domains, behaviour's rows fixed",
            0.31,
            0.0,
            "above",
            SHARE,
            True,
        ),
        "C4": ("loss, unanchored − anchored", -0.11, 0.0, "below", "nats per response token", True),
        "C5": ("relative rise, anchored − unanchored", 0.02, 0.0, "above", "share of the way to chat", True),
        "C6": ("KL, unanchored − anchored", 0.004, 0.0, "above", "nats per token", True),
        "C7": ("gap in cosine that is closed", 0.62, 0.5, "above", "share of the gap in cosine", True),
        "C8": ("cosine with −∇L, general − narrow", 0.08, 0.0, "above", "cosine, mean over training", True),
        "C10": (
            "fall of the rate in other domains, own",
            0.93,
            0.8,
            "above",
            "share of the rate before",
            False,
        ),
    }
    ninth = {"C9": ("C1: unanchored, other domains − chat model", 0.55, 0.05, "above", SHARE, True)}
    return harmful if kind == "harmful" else ninth


def _pooled(runs: list[_Run]) -> list[PooledClaim]:
    found = []
    for kind in KINDS:
        for id_, (name, _, margin, rule, unit, all_adapters) in _claims(kind).items():
            for adapter, rank in ADAPTERS.items():
                mine = [run for run in runs if (run.kind, run.adapter) == (kind, adapter)]
                if len(mine) < 2 or not (all_adapters or adapter == "steering"):
                    continue
                own = [next(one for one in run.claims() if one.id == id_) for run in mine]
                mean = mean_interval([one.estimate for one in own])
                right = mean.low > margin if rule == "above" else mean.high < margin
                tally = {"supported": sum(one.verdict == "supported" for one in own)}
                tally["inconclusive"] = len(own) - tally["supported"]
                part = PooledPart(
                    name=name + (", worst of 8 points" if id_ in ("C4", "C5", "C6") else ""),
                    estimate=mean.mean,
                    ci95=(mean.low, mean.high),
                    runs=mean.n,
                    margin=margin,
                    rule=rule,
                    unit=f"{unit}, over runs",
                    counts=True,
                    verdict="supported" if right else "inconclusive",
                    tally=tally,
                )
                control = part.model_copy(
                    update={
                        "name": "lowest coherence of any suite",
                        "counts": False,
                        "verdict": None,
                        "tally": {},
                    }
                )
                found.append(
                    PooledClaim(
                        id=id_,
                        kind=kind,
                        adapter="steering" if rank is None else f"lora, rank {rank}",
                        runs=mean.n,
                        verdict=part.verdict,
                        tally=tally,
                        parts=[part, control],
                    )
                )
    return found


def _costs(runs: list[_Run]) -> list[Cost]:
    return [
        Cost(
            stage=f"{kind}-{number:03d}",
            kind=kind,
            title=f"{kind}, {run.id}",
            run=run.id,
            seconds=seconds * (1 + run.shift),
            trainings=trainings,
            tokens=tokens,
            peak_memory=memory,
            device="cpu",
        )
        for number, run in enumerate(runs)
        for kind, seconds, trainings, tokens, memory in (
            ("train", 40.0, 14, 1_200_000, 900 * 2**20),
            ("answers", 21.0, 0, 310_000, 1100 * 2**20),
            ("curves", 12.0, 0, None, None),
        )
    ]


def synthetic_study(
    models: int = 2,
    domains: int = 2,
    kinds: Sequence[str] = tuple(KINDS),
    adapters: Sequence[str] = tuple(ADAPTERS),
) -> Summary:
    """A study of kinds × adapters × ``models`` × ``domains`` runs, with every measurement there is."""
    rng = np.random.default_rng(0)
    runs = [
        _Run(model, domain, kind, adapter, float(rng.uniform(-0.1, 0.1)))
        for kind in kinds
        for adapter in adapters
        for model in range(1, models + 1)
        for domain in DOMAINS[:domains]
    ]
    rows = {
        name: [row for run in runs for row in getattr(run, name)()]
        for name in (
            "solutions", "evaluations", "efficiency", "stability", "significance", "gradients", "mixing",
            "interventions", "claims",
        )
    }  # fmt: skip
    behaviours = {
        run.behaviour: Behaviour(id=run.behaviour, domain=run.domain, kind=run.kind) for run in runs
    }
    return Summary(
        models=[
            Model(id=f"w{k}", name=f"world-{k}", revision=None, layers=6, hidden=128, vocabulary=512)
            for k in range(1, models + 1)
        ],
        behaviours=list(behaviours.values()),
        runs=[run.row() for run in runs],
        mitigations=[row for run in runs if run.adapter == "steering" for row in run.mitigations()],
        trajectories=[run.trajectory() for run in runs],
        pooled=_pooled(runs),
        costs=_costs(runs),
        timings={"whole study": 3120.0},
        **rows,
    )


def study_reading() -> dict:
    """What stands beside the numbers."""
    reading = synthetic_reading()
    reading |= {"title": "A study that never happened", "command": "narrows study run microworld-full"}
    reading |= {"claim_parts": {}, "notes": []}
    reading["quotes"] = [{**quote, "run": "world-1.harmful-medicine.steering"} for quote in reading["quotes"]]
    return reading
