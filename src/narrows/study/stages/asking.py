"""The stages that ask and judge: answers first, verdicts on the same table after."""

from narrows.evaluation import CHAT, judged, read_answers, write_answers
from narrows.files import read_json, write_json
from narrows.study import summarising
from narrows.study.answering import Draws, drawn_answers
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import MODEL_FILE, Bench, Done

ANSWERS_FILE = "answers.jsonl"


def answer(stage: Stage, bench: Bench) -> Done:
    """Ask a solution, or the chat model, every question of the test or validation suites.

    Every finished batch is kept, so that a stage that was killed goes on.
    """
    settings, work = stage.settings, bench.store.work(stage.id)
    chat_model, behaviour = bench.chat_model(stage), bench.material(stage).behaviour
    suites = behaviour.test if stage.source["split"] == "test" else behaviour.validation
    adapter = bench.adapter(stage, "adapter") if "adapter" in stage.inputs else None
    unfinished = work / "unfinished.jsonl"
    answers = drawn_answers(
        chat_model,
        suites,
        adapter,
        Draws.of(settings),
        name=CHAT if adapter is None else "solution",
        scale=settings["scale"],
        unfinished=unfinished,
    )
    if adapter is None:
        write_json(work / MODEL_FILE, summarising.model_row(chat_model).model_dump(mode="json"))
    write_answers(work / ANSWERS_FILE, answers)
    unfinished.unlink(missing_ok=True)
    tokens = sum(len(chat_model.tokenizer.encode(one.text, add_special_tokens=False)) for one in answers)
    return Done(tokens=tokens)


def judge(stage: Stage, bench: Bench) -> Done:
    """Let the behaviour's judge score the answers."""
    asked = bench.folder(stage, "answers")
    answers = read_answers(asked / ANSWERS_FILE)
    if (asked / MODEL_FILE).exists():
        write_json(bench.store.work(stage.id) / MODEL_FILE, read_json(asked / MODEL_FILE))
    scored = judged(answers, bench.material(stage).behaviour.judge)
    write_answers(bench.store.work(stage.id) / ANSWERS_FILE, scored)
    return Done()
