"""Results of stages shared by URL: whole or not there, found from elsewhere, safe to read."""

import json
from pathlib import Path

import pytest

from narrows.errors import ConfigError, DataError, RunFolderError
from narrows.study.config import load_study, study_text
from narrows.study.config.resources import Resources, store_name
from narrows.study.plan.stage import Stage
from narrows.study.store import Store, contents
from narrows.study.store_shared import SharedStore, open_store

FACTS = {"seconds": 1.5, "trainings": 0}


def stage(number: int = 0) -> Stage:
    return Stage("answers", f"stage {number}", "run", "model", "behaviour", {"number": number})


def done(store: Store, one: Stage, text: str = "result") -> None:
    """Do a stage: two files, one of them in a folder."""
    work = store.work(one.id)
    (work / "deep" / "er").mkdir(parents=True)
    (work / "answers.jsonl").write_text(text, encoding="utf-8")
    (work / "deep" / "er" / "x.bin").write_bytes(bytes(range(256)))
    store.publish(one, FACTS)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/prefix"


def test_a_finished_stage_is_found_and_read_from_another_machine(tmp_path: Path, url: str) -> None:
    here, there = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    one = stage()
    assert not there.finished(one.id)
    done(here, one)
    there.refresh()
    assert there.finished(one.id)
    assert not (there.home / "stages").exists()  # nothing was fetched to know that
    assert there.facts(one.id) == here.facts(one.id)
    assert there.facts(one.id) == {**one.as_json(), **FACTS, "files": contents(here.folder(one.id))}
    assert not (there.home / "stages").exists()
    folder = there.folder(one.id)
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files == ["answers.jsonl", "deep/er/x.bin", "stage.json"]
    for name in files:
        assert (folder / name).read_bytes() == (here.folder(one.id) / name).read_bytes()
    assert list((there.home / "fetched").iterdir()) == []


def test_the_same_in_memory(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    here, there = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    done(here, stage())
    assert (there.folder(stage().id) / "deep/er/x.bin").read_bytes() == bytes(range(256))


def test_of_two_machines_that_did_one_stage_the_first_counts(tmp_path: Path, url: str) -> None:
    here, there = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    one = stage()
    assert not there.finished(one.id)  # and that is believed for a while
    done(here, one, "first")
    done(there, one, "second")
    assert (there.folder(one.id) / "answers.jsonl").read_text() == "first"
    assert not there.work(one.id).exists()
    assert len(list((tmp_path / "bucket/prefix/uploads").iterdir())) == 1


def test_an_upload_that_broke_off_is_not_there_and_is_done_again(
    tmp_path: Path, url: str, monkeypatch
) -> None:
    store, other = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    one = stage()
    files, _ = store._place

    def broken(*_: object, **__: object) -> None:
        raise TimeoutError("the network is gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(files), "pipe_file", broken)
        with pytest.raises(RunFolderError, match="network is gone"):
            done(store, one)
    for each in (store, other):
        each.refresh()
        assert not each.finished(one.id)
    store.publish(one, FACTS)
    assert other.folder(one.id).is_dir()


def test_what_was_finished_before_there_was_a_url_is_shared(tmp_path: Path, url: str) -> None:
    done(Store(tmp_path / "here"), stage())
    store = open_store(tmp_path / "here", url)
    store.share_local()
    assert SharedStore(tmp_path / "there", url).finished(stage().id)
    store.share_local()
    assert len(list((tmp_path / "bucket/prefix/uploads").iterdir())) == 1


def test_a_log_goes_on_on_another_machine(tmp_path: Path, url: str) -> None:
    here, there = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    assert not here.log("task").exists()
    here.log("task").write_text("begun\n")
    here.share_log("task")
    assert there.log("task").read_text() == "begun\n"


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/../../../escaped", "..\\escaped"])
def test_a_file_that_would_leave_the_folder_is_refused(tmp_path: Path, url: str, name: str) -> None:
    here, there = SharedStore(tmp_path / "here", url), SharedStore(tmp_path / "there", url)
    done(here, stage())
    path = tmp_path / f"bucket/prefix/stages/{stage().id}.json"
    card = json.loads(path.read_text())
    card["files"][name] = 6
    path.write_text(json.dumps(card))
    with pytest.raises(DataError, match=r"stages/.*damaged"):
        there.folder(stage().id)
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"facts": 1, "files": {"stage.json": 3}, "upload": "x"}']
)
def test_a_damaged_card_is_named(tmp_path: Path, url: str, text: str) -> None:
    done(SharedStore(tmp_path / "here", url), stage())
    (tmp_path / f"bucket/prefix/stages/{stage().id}.json").write_text(text)
    with pytest.raises(DataError, match=r"stages/.*damaged"):
        SharedStore(tmp_path / "there", url).folder(stage().id)


def test_a_file_that_was_cut_short_is_named_and_nothing_is_left(tmp_path: Path, url: str) -> None:
    done(SharedStore(tmp_path / "here", url), stage())
    (path,) = (tmp_path / "bucket/prefix/uploads").glob("*/answers.jsonl")
    path.write_text("res")
    there = SharedStore(tmp_path / "there", url)
    with pytest.raises(DataError, match=r"answers\.jsonl is damaged"):
        there.folder(stage().id)
    assert not (there.home / "stages" / stage().id).exists()


def test_a_kind_of_url_without_its_package_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gcsfs"):
        open_store(tmp_path, "gs://bucket/path")
    with pytest.raises(ConfigError, match="nonsense"):
        open_store(tmp_path, "nonsense://x")


def test_several_studies_may_keep_their_results_in_one_folder(tmp_path: Path) -> None:
    one, two = (open_store(tmp_path / name, str(tmp_path / "results")) for name in ("one", "two"))
    done(one, stage())
    assert two.finished(stage().id)
    one.note("finished", stage().id)
    assert two.journal() == []
    assert open_store(two.root, two.shared).folder(stage().id) == one.folder(stage().id)
    with one.claimed(stage(1).id, stage(2).id) as mine:
        assert mine
        with two.claimed(stage(2).id, stage(3).id) as theirs:
            assert not theirs
        assert two.running(stage(1).id)
        assert not two.running(stage(3).id)  # let go again, since the other was not to be had


def test_a_url_with_a_password_may_not_stand_in_the_file() -> None:
    for value in (None, "s3://bucket/path", "results", "ssh://user@host/path"):
        assert store_name(value) == value
    for value in ("ssh://user:word@host/path", "s3://bucket/path?token=1"):
        with pytest.raises(ValueError, match="environment"):
            store_name(value)
    with pytest.raises(ValueError, match="whole"):
        Resources(gpus=1.5)


def test_a_store_beside_the_study_file_is_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = study_text("microworld-quick")
    (tmp_path / "study.yaml").write_text(f"{text}\nstore: results\nresources: {{cpus: 2, gpus: 0.5}}\n")
    config = load_study(tmp_path / "study.yaml")
    assert config.store == str(tmp_path / "results")
    assert (config.resources.cpus, config.resources.gpus) == (2, 0.5)
    monkeypatch.chdir(tmp_path)
    from_preset = load_study("microworld-quick", ["store=results"])
    assert from_preset.store == config.store
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "study.yaml").write_text(from_preset.as_yaml())
    assert load_study(tmp_path / "elsewhere" / "study.yaml").store == config.store
    url = load_study(tmp_path / "study.yaml", ["store=s3://bucket/path"])
    assert url.store == "s3://bucket/path"
