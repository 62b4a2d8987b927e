"""Each way an escalation's row and its workflow can come apart is found, and mended by the command that says so."""

from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from db.models import Delivery, EscalationChangeRow, EscalationRow, Notification
from domain.escalation import Escalation, EscalationStatus
from domain.escalation_commands import Claim
from repair.escalation_comparison import EscalationComparison
from repair.findings import Finding
from tests.support import eventually
from tests.workflows.line import Line
from tests.workflows.office import Office
from tests.workflows.test_repair import repair


@pytest.fixture
async def line(office: Office) -> Line:
    """A conversation that waits for a human."""
    line = await Line(await office.open()).open()
    await line.raise_()
    await line.settled()
    return line


async def found(line: Line) -> Finding | None:
    """What is found of the conversation; ``None`` where there is nothing to say."""
    comparison = EscalationComparison(line.office.sessions, line.office.client)
    compared = [each async for each in comparison.all(line.office.id) if each.conversation_id == line.id]
    assert len(compared) <= 1
    return compared[0].finding if compared else None


async def told(line: Line) -> tuple[list[str], list[str]]:
    """Every notification and every delivery there is, by its key."""
    async with line.office.sessions() as session:
        notices = await session.scalars(select(Notification.key).where(Notification.conversation_id == line.id))
        deliveries = await session.scalars(select(Delivery.key).where(Delivery.conversation_id == line.id))
        return sorted(notices), sorted(deliveries)


async def test_what_agrees_is_left_alone(line: Line) -> None:
    over = await Line(line.office).open()
    await over.take_over("Ben")
    await over.resolve("Ben")
    await eventually(lambda: _is_over(over))
    assert await found(line) is Finding.EQUAL
    assert await found(over) is None
    result = await repair(line.office, "compare")
    assert result.code == 0, result.printed
    left = await repair(line.office, "restart", "--conversation", str(line.id), "--conversation", str(over.id))
    assert left.printed.endswith("0 started\n")
    assert "equal, left alone" in left.printed


async def test_a_lost_workflow_is_reported_and_goes_on_from_the_row(line: Line) -> None:
    claim = line.claim("Ana", request_id="claimed")
    await line.obey(claim)
    before, heard = await line.settled(), await told(line)
    waits = (await line.live()).timers
    await line.handle.terminate(reason="An accident")
    await eventually(lambda: _is(line, Finding.NO_WORKFLOW))
    reported = await repair(line.office, "compare")
    assert reported.code == 1
    assert f"no_workflow  escalation {before.id} of conversation {line.id}" in reported.printed
    restarted = await repair(line.office, "restart", "--all")
    assert restarted.printed.endswith("1 started\n"), restarted.printed
    assert await line.settled() == before
    assert (await line.live()).timers == waits
    again = await line.obey(claim)  # it knows what it was asked before
    assert (again.version, await line.settled()) == (before.version, before)
    assert await told(line) == heard
    await line.resolve()
    await eventually(lambda: _is_over(line))
    assert (await repair(line.office, "compare")).code == 0


async def test_a_reason_it_knows_counts_once_after_a_restart(office: Office) -> None:
    line = await Line(await office.open()).open()
    raising = await line.raise_()
    before = await line.settled()
    await line.handle.terminate(reason="An accident")
    await eventually(lambda: _is(line, Finding.NO_WORKFLOW))
    assert (await repair(office, "restart", "--conversation", str(line.id))).printed.endswith("1 started\n")
    await line.tell(raising)
    further = await line.raise_()
    after = await eventually(lambda: _with_reasons(line, 2))
    assert [reason.id for reason in after.reasons] == [before.reasons[0].id, further.reason.id]


@pytest.mark.parametrize(
    ("how", "ended", "finding"),
    [
        ("lost", False, Finding.NO_ROW),
        ("lost", True, Finding.NO_ROW),
        ("old", False, Finding.BEHIND),
        ("old", True, Finding.BEHIND),
        ("gap", False, Finding.GAPS),
        ("gap", True, Finding.GAPS),
        ("other", False, Finding.DIFFERENT),  # what has ended is not asked what it looks like
    ],
)
async def test_a_damaged_row_is_found_and_rebuilt_without_telling_anybody_twice(
    line: Line, how: str, ended: bool, finding: Finding
) -> None:
    await line.obey(line.claim("Ana"))
    await line.settled()
    if ended:
        await line.resolve()
        await eventually(lambda: _is_over(line))
    [row] = await line.rows()
    story, heard = await line.story(), await told(line)
    await _damage(line, how)
    await eventually(lambda: _is(line, finding))
    rebuilt = await repair(line.office, "rebuild", "--all")
    assert rebuilt.code == 0, rebuilt.printed
    [again] = await line.rows()
    assert (again.state, again.status, again.version) == (row.state, row.status, row.version)
    assert (await line.story(), await told(line)) == (story, heard)
    assert (await line.conversation()).handled_by == ("bot" if ended else "human")
    assert (await repair(line.office, "compare")).code == 0


async def test_a_run_from_an_older_copy_changes_nothing_on_record_and_is_replaced(line: Line) -> None:
    """As if the row had gone on with another run: the present one tells other changes of the same versions."""
    await _goes_on_elsewhere(line)
    before = (await line.rows())[0].state
    await line.obey(line.claim("Ana"))
    assert await eventually(lambda: _is(line, Finding.AHEAD), 20)
    assert (await line.rows())[0].state == before
    refused = await repair(line.office, "rebuild", "--conversation", str(line.id))
    assert refused.code == 1
    assert "older than its record" in refused.printed
    restarted = await repair(line.office, "restart", "--all", "--terminate-older")
    assert restarted.printed.endswith("1 started\n"), restarted.printed
    live = await line.settled()
    assert (live.status, live.owner_name, live.version) == (EscalationStatus.CLAIMED, "Ben", 3)


async def test_a_run_of_an_escalation_that_is_over_on_record_is_ended(line: Line) -> None:
    await _goes_on_elsewhere(line, over=True)
    await eventually(lambda: _is(line, Finding.AHEAD))
    restarted = await repair(line.office, "restart", "--all", "--terminate-older")
    assert "over on record" in restarted.printed
    await eventually(lambda: _is(line, None))


async def _goes_on_elsewhere(line: Line, *, over: bool = False) -> None:
    """Postgres knows of a claim (and of the end) that this Temporal has never heard of."""
    live = await line.settled()
    claim = line.claim("Ben")
    assert isinstance(claim, Claim)
    status = EscalationStatus.RESOLVED if over else EscalationStatus.CLAIMED
    now = live.updated_at.replace(microsecond=1)
    later = live.model_copy(
        update={
            "status": status,
            "owner_id": claim.member_id,
            "owner_name": "Ben",
            "version": 3,
            "updated_at": now,
            "closed_at": now if over else None,
        }
    )
    async with line.office.sessions.begin() as session:
        for version in (live.version + 1, 3):
            session.add(
                EscalationChangeRow(
                    escalation_id=live.id,
                    version=version,
                    organization_id=line.office.id,
                    conversation_id=line.id,
                    kind="claimed",
                    at=now,
                    actor_kind="member",
                    about={},
                    request_id=str(uuid4()),
                )
            )
        await session.execute(
            update(EscalationRow)
            .where(EscalationRow.id == live.id)
            .values(
                status=status,
                version=3,
                owner_id=claim.member_id,
                updated_at=now,
                closed_at=later.closed_at,
                state=later.model_dump(mode="json"),
            )
        )


async def _damage(line: Line, how: str) -> None:
    mine = EscalationRow.conversation_id == line.id
    async with line.office.sessions.begin() as session:
        [row] = await session.scalars(select(EscalationRow).where(mine))
        if how == "lost":
            await session.execute(delete(EscalationRow).where(mine))
            await session.execute(delete(EscalationChangeRow).where(EscalationChangeRow.conversation_id == line.id))
        elif how == "old":
            old = row.state | {"version": 1, "status": "queued", "owner_id": None, "closed_at": None}
            await session.execute(
                update(EscalationRow)
                .where(mine)
                .values(version=1, status="queued", owner_id=None, closed_at=None, state=old)
            )
            after = (EscalationChangeRow.conversation_id == line.id, EscalationChangeRow.version > 1)
            await session.execute(delete(EscalationChangeRow).where(*after))
        elif how == "gap":
            second = (EscalationChangeRow.conversation_id == line.id, EscalationChangeRow.version == 2)
            await session.execute(delete(EscalationChangeRow).where(*second))
        else:
            await session.execute(update(EscalationRow).where(mine).values(state=row.state | {"priority": "urgent"}))


async def _is(line: Line, expected: Finding | None) -> bool:
    return await found(line) is expected


async def _is_over(line: Line) -> bool:
    rows = await line.rows()
    ended = (await line.handle.describe()).status
    return bool(rows) and rows[-1].closed_at is not None and ended is not None and ended.name == "COMPLETED"


async def _with_reasons(line: Line, count: int) -> Escalation:
    live = await line.settled()
    assert len(live.reasons) == count
    return live
