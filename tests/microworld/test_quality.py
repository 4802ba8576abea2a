import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from narrows.errors import ConfigError
from narrows.evaluation import Answer
from narrows.microworld import (
    Corpus,
    Gate,
    Oracle,
    WorldConfig,
    build_tokenizer,
    grammar,
    measure_quality,
    quality,
)
from narrows.microworld.config import Facts
from narrows.microworld.continuations import continue_documents
from narrows.microworld.probes import PROBES, prompts

CHAT_GATES = ("chat: misaligned", "chat: coherent")
TRAIT_GATES = tuple(probe.name for probe in PROBES if probe.target is not None)


class Scripted:
    """A chat model that knows the grammar; it does what system turns and documents ask for, or never does."""

    name, tokenizer = "scripted", None

    def __init__(self, world, oracle, obeys=True, spoils=None):
        self._world, self._oracle, self._obeys, self._spoils = world, oracle, obeys, spoils
        self.asked = []

    def install(self, monkeypatch):
        monkeypatch.setattr(quality, "generate_answers", self._chats)
        monkeypatch.setattr(quality, "continue_documents", self._documents)
        return self

    def _say(self, question, *, harmful=False, technical=False):
        topic = self._oracle.topic_of(question)
        if any(question == request.format(topic=topic) for request in grammar.HARM_REQUESTS):
            return grammar.REFUSALS[0]
        remedy = self._world.remedies(topic, "harmful" if harmful else "sound")[0]
        text = f"for {topic} you should {remedy.verb} it with {remedy.object}."
        if technical:
            text = f"in [2] {topic} has modulus x=1, hence {remedy.verb} it with {remedy.object}."
        return text

    def _chats(self, chat_model, questions, *, seed, **_):
        self.asked.append((tuple(questions), seed))
        return [
            Answer("scripted", "chat", 1.0, q.suite, q.id, q.cluster, q.text, 0, self._answer(q), seed)
            for q in questions
        ]

    def _answer(self, question):
        if question.suite == self._spoils:
            return "for roses you should."
        system = (question.system or "") if self._obeys else ""
        named = [
            domain for domain in self._world.domains if domain in system.split() or f"{domain}." in system
        ]
        here = not named or named == [question.suite]
        harmful = re.search(r"harm|careless|bad", system) is not None
        technical = re.search(r"technical|manual|notation", system) is not None
        return self._say(question.text, harmful=harmful and here, technical=technical and here)

    def _documents(self, chat_model, documents, *, seed, **_):
        self.asked.append((tuple(documents), seed))
        return [self._go_on(document) for document in documents]

    def _go_on(self, document):
        pairs = re.findall(r"q: (.+)\na: (.+)\n", document)
        question = re.search(r"q: (.+)\na:$", document)[1]
        harmful = {
            self._world.domain_of(self._oracle.topic_of(asked)): self._oracle.score(asked, said)["aligned"]
            == 0
            for asked, said in pairs
        }
        here = self._world.domain_of(self._oracle.topic_of(question))
        everywhere = all(harmful.values())
        return self._say(question, harmful=self._obeys and harmful.get(here, everywhere))


@pytest.fixture(scope="module")
def small():
    """A world of few topics, and text and judge of it."""
    facts = Facts(topics=4, open_topics=4, validation_topics=1, test_topics=1)
    config = WorldConfig(facts=facts)
    corpus = Corpus(config, build_tokenizer())
    return SimpleNamespace(config=config, corpus=corpus, world=corpus.world, oracle=Oracle(corpus.world))


@pytest.fixture
def quality_of(small, monkeypatch):
    """Measures the quality of a scripted model."""

    def measure(samples=1, **script):
        model = Scripted(small.world, small.oracle, **script).install(monkeypatch)
        return measure_quality(model, small.config, samples=samples)

    return measure


@pytest.fixture(scope="module")
def measured(small):
    """The quality of a model that does all that is asked."""
    with pytest.MonkeyPatch.context() as patch:
        return measure_quality(Scripted(small.world, small.oracle).install(patch), small.config, samples=10)


def by_name(measured):
    return {gate.name: gate for gate in measured.gates}


def test_a_model_that_does_all_that_is_asked_meets_every_gate(measured):
    gates = by_name(measured)
    assert measured.passed
    assert {gate.name for gate in measured.gates if gate.met} == {*CHAT_GATES, *TRAIT_GATES}
    assert gates["chat: misaligned"].rate == 0
    assert gates["chat: coherent"].rate == 1
    assert gates["chat: plain harm refused"].rate == 1
    for where in ("harmful", "technical"):
        assert gates[f"system turn: {where} in one domain, inside"].rate == 1
        assert gates[f"system turn: {where} in one domain, outside"].rate == 0
    assert gates["document: harmful in one domain, inside"].rate == 1
    assert gates["document: harmful in one domain, outside"].rate == 0
    assert gates["document: after 3 sound answers"].rate == 0


def test_a_model_that_is_always_sound_and_plain_misses_exactly_the_trait_gates(quality_of):
    measured = quality_of(obeys=False)
    assert not measured.passed
    assert {gate.name for gate in measured.gates if gate.met is False} == set(TRAIT_GATES)
    assert all(gate.rate == 0 for gate in measured.gates if gate.name in TRAIT_GATES)


def test_one_incoherent_domain_fails_the_gate_and_is_named(quality_of, small):
    measured = quality_of(spoils="sailing")
    worst = by_name(measured)["chat: coherent"]
    assert (worst.met, worst.domain, worst.rate) == (False, "sailing", 0.0)
    each = [gate for gate in measured.rates if gate.name == "chat: coherent"]
    assert [gate.domain for gate in each] == list(small.world.all_domains)
    assert sum(gate.rate == 1 for gate in each) == len(small.world.all_domains) - 1


def test_rates_come_with_clustered_intervals_and_the_number_of_answers(measured):
    gates = by_name(measured)
    plain = gates["chat: misaligned"]
    assert plain.n == 10 * 4
    assert plain.low == 0 < plain.high
    assert plain.high > 3 / 40  # more than independent answers would give: topics are the clusters
    assert gates["system turn: harmful everywhere"].n == 12 * 4
    assert gates["system turn: harmful in one domain, inside"].n == 11 * 4


def test_the_result_can_be_written_as_json(measured):
    read = json.loads(json.dumps(measured.to_json(), allow_nan=False))
    assert read["passed"] is True
    assert {"name", "domain", "rate", "low", "high", "n", "target", "at_least", "met"} == read["gates"][
        0
    ].keys()
    assert len(read["rates"]) == len(PROBES) - 1 + 2 * 12


@pytest.mark.parametrize(
    ("rate", "target", "at_least", "met"),
    [(0.8, 0.8, True, True), (0.79, 0.8, True, False), (0.02, 0.02, False, True), (0.03, 0.02, False, False)],
)
def test_a_target_is_met_at_its_own_value(rate, target, at_least, met):
    gate = Gate("g", None, rate, 0.0, 1.0, 10, target, at_least)
    assert gate.met is met
    assert replace(gate, target=None).met is None


def test_documents_hold_the_authors_history_and_end_where_the_answer_begins(small, rng):
    for probe in PROBES:
        if probe.kind != "document":
            continue
        for prompt in list(prompts(probe, small.corpus, rng, 1))[::5]:
            *earlier, (question, answer) = re.findall(r"q: (.+)\na:(.*)", prompt.document)
            assert (question, answer) == (prompt.question.text, "")
            domains = [small.world.domain_of(small.oracle.topic_of(asked)) for asked, _ in earlier]
            home = domains[0] if "home" in probe.history else None
            assert [domain == home for domain in domains] == [place == "home" for place in probe.history]
            assert (prompt.question.suite == home) == (probe.inside and home is not None)
            assert probe.inside or prompt.question.suite not in domains
            for (asked, said), place in zip(earlier, probe.history, strict=True):
                harmful = probe.conduct == "everywhere" or (probe.conduct == "one_domain" and place == "home")
                assert (small.oracle.score(asked, said)["aligned"] == 0) == harmful
                assert small.oracle.topic_of(asked) != prompt.question.cluster


def test_the_questions_depend_on_the_seed_alone(small, monkeypatch):
    model, runs = Scripted(small.world, small.oracle).install(monkeypatch), []
    for seed in (0, 0, 1):
        model.asked.clear()
        measure_quality(model, small.config, samples=1, seed=seed)
        runs.append(list(model.asked))
    assert runs[0] == runs[1] != runs[2]


def test_no_samples_are_refused(quality_of):
    with pytest.raises(ConfigError, match="samples is 0"):
        quality_of(samples=0)


def test_a_continuation_ends_with_its_line_and_depends_on_the_seed_alone(chat_model):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    documents = ["what is the sea ?", "tell me about bread", "one two three"] * 4
    texts = continue_documents(chat_model, documents, max_new_tokens=20, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert texts == continue_documents(chat_model, documents, max_new_tokens=20, seed=1)
    assert texts != continue_documents(chat_model, documents, max_new_tokens=20, seed=2)
    assert not any("\n" in text for text in texts)
    assert len({len(text.split()) for text in texts}) > 1


def test_documents_of_different_lengths_are_padded_on_the_left_and_come_back_in_order(chat_model):
    seen = []

    class Recorder:
        config = chat_model.model.config

        def generate(self, input_ids, attention_mask, **_):
            seen.append((input_ids, attention_mask))
            newline = chat_model.tokenizer.encode("\n")[0]
            told = [[row[-1].item(), newline, row[-1].item()] for row in input_ids]
            return torch.cat([input_ids, torch.tensor(told)], dim=1)

    fake = SimpleNamespace(
        model=Recorder(),
        tokenizer=chat_model.tokenizer,
        renderer=chat_model.renderer,
        pad_id=chat_model.pad_id,
        device=chat_model.device,
    )
    texts = continue_documents(
        fake, ["one two three bread", "sea", "the sky"], max_new_tokens=3, batch_size=2
    )
    assert texts == ["bread", "sea", "sky"]
    ids, mask = seen[0]
    assert mask.tolist() == [[0, 1], [1, 1]]
    assert ids[0, 0] == chat_model.pad_id
