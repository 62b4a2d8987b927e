"""The state of a replay survives crashes and is never taken for that of another."""

from pathlib import Path

import pytest

from benchmarks.replay.journal import Answered, Began, Done, Header, JournalError, Tenant, open_journal, read_header

HEADER = Header(digest="d", seed=1, speed_up=500, target="http://one", run="first")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A state file with an organization and two steps."""
    file = tmp_path / "folder" / "state.jsonl"
    with open_journal(file, HEADER) as journal:
        journal.write(
            Tenant(
                brand="North",
                id="o",
                api_key="k",
                team_ids={"Care": "t"},
                member_ids=("a", "b"),
                supervisor_id="s",
                channel_ids={"api": "c"},
            )
        )
        journal.write(Began(at=100))
        answered = Answered(sentiment=-0.5, human_requested=False, decided_by="builtin")
        journal.write(Done(key="m1:tell", brand="North", ticket_id="", at=110, answered=answered))
        journal.write(Done(key="m2:tell", brand="North", ticket_id="t1", at=120))
    return file


def test_a_continued_replay_knows_what_was_acknowledged_and_keeps_its_run(kept: Path) -> None:
    with open_journal(kept, HEADER.model_copy(update={"run": "second"})) as journal:
        assert journal.header.run == "first"
        assert journal.tenants["North"].member_ids == ("a", "b")
        assert set(journal.done) == {"m1:tell", "m2:tell"}
        assert journal.done["m1:tell"].answered == Answered(sentiment=-0.5, human_requested=False, decided_by="builtin")
        assert journal.done["m2:tell"].answered is None
        assert journal.finished is None


def test_time_between_runs_is_not_counted(kept: Path) -> None:
    with open_journal(kept, HEADER) as journal:
        journal.write(Began(at=1000))
        journal.write(Done(key="m3:tell", brand="North", ticket_id="t1", at=1010))
        assert journal.paused_seconds() == 880


def test_its_keys_are_for_its_owner_only(kept: Path) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_last_line_that_a_crash_cut_off_is_dropped_and_written_again_whole(cut: int, kept: Path) -> None:
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-cut])
    with open_journal(kept, HEADER) as journal:
        assert set(journal.done) == {"m1:tell"}
        journal.write(Done(key="m2:tell", brand="North", ticket_id="t1", at=120))
    assert kept.read_bytes() == whole


def test_a_header_that_a_crash_cut_off_begins_anew(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:20])
    assert read_header(kept) is None
    with open_journal(kept, HEADER) as journal:
        assert not journal.tenants
    assert read_header(kept) == HEADER


OTHERS = {
    "digest": ("x", "other messages"),
    "seed": (2, "other --seed"),
    "speed_up": (1, "other --speed-up"),
    "target": ("http://two", "other --url or --own-stack"),
}


@pytest.mark.parametrize("field", OTHERS)
def test_the_state_of_another_replay_is_refused_and_left_as_it_is(field: str, kept: Path) -> None:
    before = kept.read_bytes()
    value, said = OTHERS[field]
    with pytest.raises(JournalError, match=said), open_journal(kept, HEADER.model_copy(update={field: value})):
        pass
    assert kept.read_bytes() == before


@pytest.mark.parametrize("content", ['{"kind": "something"}\n', "hello\n", "hello", "hello\nworld"])
def test_a_file_that_is_no_state_is_refused_and_left_as_it_is(content: str, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text(content)
    with pytest.raises(JournalError, match="not the state of a replay"), open_journal(file, HEADER):
        pass
    assert file.read_text() == content


def test_a_line_in_the_middle_that_is_no_line_of_it_is_named(kept: Path) -> None:
    content = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join([*content[:2], "hello\n", *content[2:]]))
    with pytest.raises(JournalError, match="line 3 is not one of its lines"), open_journal(kept, HEADER):
        pass


def test_two_replays_cannot_write_one_file(kept: Path) -> None:
    with (
        open_journal(kept, HEADER),
        pytest.raises(JournalError, match="Another replay is writing"),
        open_journal(kept, HEADER),
    ):
        pass
