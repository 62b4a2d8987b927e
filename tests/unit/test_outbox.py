from domain import lifecycle
from domain.commands import Edit, NoteAdded
from domain.story import Story
from domain.terms import adopt
from domain.ticket import Status, Ticket
from tests.unit.tickets import API, LATER, NOW, TERMS, named, new_ticket, ticket_in, to
from workflows.outbox import LARGEST_BATCH, Outbox


def edited(ticket: Ticket, title: str) -> Story:
    command = Edit(request_id=f"edit {title}", fingerprint="print", title=title)
    return lifecycle.decide(ticket, command, LATER)


def test_burst_leaves_in_one_batch_in_its_order() -> None:
    outbox, ticket = Outbox((), "The whole story"), ticket_in(Status.OPEN)
    for title in ("first", "second", "third"):
        story = edited(ticket, title)
        outbox.put(story)
        ticket = story.ticket
    assert outbox
    batch = outbox.take(ticket)
    assert not outbox
    assert [event.version for event in batch.events] == [ticket.version - 2, ticket.version - 1, ticket.version]
    assert (batch.ticket, batch.description) == (ticket, "The whole story")


def test_answers_are_kept_where_a_later_event_has_changed_the_ticket_again() -> None:
    outbox, ticket = Outbox((), None), ticket_in(Status.OPEN)
    for title in ("first", "second"):
        story = edited(ticket, title)
        outbox.put(story)
        ticket = story.ticket
    batch = outbox.take(ticket)
    assert {request: answer.title for request, answer in batch.answers.items()} == {"edit first": "first"}


def test_facts_have_no_answer_to_keep() -> None:
    outbox, ticket = Outbox((), None), ticket_in(Status.OPEN)
    note = lifecycle.note_added(ticket, NoteAdded(note_id=named("note"), at=NOW, actor=API), LATER)
    outbox.put(note)
    last = edited(note.ticket, "last")
    outbox.put(last)
    assert outbox.take(last.ticket).answers == {}


def test_description_leaves_once() -> None:
    outbox, ticket = Outbox((), "Once"), ticket_in(Status.OPEN)
    outbox.put(first := edited(ticket, "first"))
    assert outbox.take(first.ticket).description == "Once"
    outbox.put(second := edited(first.ticket, "second"))
    assert outbox.take(second.ticket).description is None


def test_batch_that_holds_everything_carries_the_terms_taken_on_since() -> None:
    outbox = Outbox((), None)
    story = lifecycle.decide(ticket_in(Status.IN_PROGRESS), to(Status.WAITING), LATER)
    outbox.put(story)
    now = adopt(story.ticket, TERMS)
    assert outbox.take(now).ticket.reminders is not None


def test_long_queue_leaves_in_batches_each_with_the_state_it_led_to() -> None:
    outbox, ticket = Outbox((), None), lifecycle.create(new_ticket(), API, NOW, "create", "print").ticket
    for number in range(LARGEST_BATCH + 5):
        story = edited(ticket, str(number))
        outbox.put(story)
        ticket = story.ticket
    first = outbox.take(ticket)
    assert (len(first.events), first.ticket.version) == (LARGEST_BATCH, LARGEST_BATCH + 1)
    assert len(outbox.entries) == 5
    second = outbox.take(ticket)
    assert (len(second.events), second.ticket) == (5, ticket)
    assert second.events[0].version == first.events[-1].version + 1


def test_what_was_not_handed_on_travels_to_the_next_run() -> None:
    outbox, ticket = Outbox((), "Kept"), ticket_in(Status.OPEN)
    outbox.put(story := edited(ticket, "kept"))
    carried = Outbox(outbox.entries, outbox.description)
    assert carried.take(story.ticket) == outbox.take(story.ticket)
