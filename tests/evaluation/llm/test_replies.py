from concurrent.futures import ThreadPoolExecutor

import pytest

from narrows.errors import RunFolderError
from narrows.evaluation.llm.replies import FILE, Replies, default_cache
from narrows.evaluation.llm.scoring import Reply

REPLIES = [Reply("85"), Reply("", None), Reply("8", (("8", -0.1), ("\x00</script>", -3.0)))]


def test_replies_come_back_as_they_were_kept_in_another_process(tmp_path):
    path = tmp_path / "deep" / "replies.sqlite"
    with Replies(path) as replies:
        for key, reply in enumerate(REPLIES):
            replies.keep(str(key), reply)
        with Replies(path) as other:  # while the first is open
            assert [other.find(str(key)) for key in range(4)] == [*REPLIES, None]
            assert other.known(["0", "2", "7"]) == {"0", "2"}


def test_the_first_reply_to_a_message_stays(tmp_path):
    with Replies(tmp_path / "r.sqlite") as replies:
        replies.keep("k", Reply("1"))
        replies.keep("k", Reply("2"))
        assert replies.find("k") == Reply("1")


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_damaged_file_is_named_with_the_way_out(tmp_path, damage):
    path = tmp_path / "r.sqlite"
    path.write_bytes(damage)
    with pytest.raises(RunFolderError, match=r"r\.sqlite.*NARROWS_CACHE"), Replies(path) as replies:
        replies.find("k")


def test_a_damaged_reply_is_named_with_the_way_out(tmp_path):
    with Replies(tmp_path / "r.sqlite") as replies:
        replies._base.execute("INSERT INTO replies VALUES ('k', '[1')")
        with pytest.raises(RunFolderError, match=r"r\.sqlite"):
            replies.find("k")


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("NARROWS_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / FILE
    monkeypatch.delenv("NARROWS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache() == tmp_path / "x" / "narrows" / FILE


def test_of_two_replies_the_one_that_is_kept_counts_for_both(tmp_path):
    with Replies(tmp_path / "r.sqlite") as one, Replies(tmp_path / "r.sqlite") as other:
        assert one.keep("k", Reply("80")) == Reply("80")
        assert other.keep("k", Reply("20")) == Reply("80")


def test_a_file_opened_in_one_thread_is_used_in_another(tmp_path):
    with Replies(tmp_path / "r.sqlite") as replies, ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(replies.keep, "k", Reply("80")).result() == Reply("80")
        assert replies.find("k") == Reply("80")
