"""What the domain refuses, each refusal with a stable code and no word of HTTP.

DomainError
├── IllegalTransition      illegal_transition       the lifecycle has no such move
├── TicketClosed           ticket_closed            closed tickets change only by being reopened
├── TicketMerged           ticket_merged            closed for good: another ticket took it over
├── MergeRefused           merge_refused            the two tickets cannot become one
├── TicketMerging          ticket_merging           it is being merged at this moment; ask again
├── TicketNotActive        ticket_not_active        resolved or closed tickets do not escalate
├── VersionMismatch        version_mismatch         the ticket has changed since it was read
├── AssignedToAnother      assigned_to_another      somebody else owns the ticket
├── ClaimedByAnother       claimed_by_another       somebody else has the conversation
├── NotClaimed             not_claimed              nobody has the conversation
├── EscalationOver         escalation_over          it was resolved or dismissed, or there is none
├── IdempotencyKeyReused   idempotency_key_reused   one key, two different requests
├── InvalidLadder          invalid_ladder           a ladder that could not run
├── InvalidCalendar        invalid_calendar         a calendar that could not be worked by
├── BeyondHorizon          beyond_horizon           working time further away than is looked for
├── InvalidPolicy          invalid_sla_policy       an SLA policy that could not be kept
├── InvalidConditions      invalid_conditions       a rule that could not be evaluated
└── InvalidTemplate        invalid_template         words that could not be rendered
"""

from collections.abc import Mapping
from typing import ClassVar


class DomainError(Exception):
    """A refusal: ``str()`` is a sentence for people, ``code`` is for programs, ``context`` says what would help.

    ``context`` holds plain JSON values only, since it travels through Temporal and out of the API.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, /, **context: object) -> None:
        super().__init__(message)
        self.context: Mapping[str, object] = context


class IllegalTransition(DomainError):
    """The lifecycle has no move between the two statuses; ``legal`` lists the statuses that can be reached."""

    code = "illegal_transition"


class TicketClosed(DomainError):
    """The ticket is closed; only reopening it is possible. ``legal`` lists the statuses it may reopen to."""

    code = "ticket_closed"


class TicketMerged(TicketClosed):
    """The ticket was merged; ``merged_into`` is the ticket that goes on."""

    code = "ticket_merged"


class MergeRefused(DomainError):
    """The two tickets cannot become one, for instance because the other goes into this one already."""

    code = "merge_refused"


class TicketMerging(DomainError):
    """The ticket is on its way into another one; what becomes of it is decided in a moment."""

    code = "ticket_merging"


class TicketNotActive(DomainError):
    """The ticket is resolved or closed and is not escalated any more."""

    code = "ticket_not_active"


class VersionMismatch(DomainError):
    """The command was meant for another version; ``version`` is the present one."""

    code = "version_mismatch"


class AssignedToAnother(DomainError):
    """Another member owns the ticket; ``assignee_id`` says who."""

    code = "assigned_to_another"


class ClaimedByAnother(DomainError):
    """Another member has the conversation; ``owner_id`` and ``owner_name`` say who."""

    code = "claimed_by_another"


class NotClaimed(DomainError):
    """Nobody has the conversation, so it cannot be handed back."""

    code = "not_claimed"


class EscalationOver(DomainError):
    """The escalation has ended; another one may be raised. ``current`` is how it ended."""

    code = "escalation_over"


class IdempotencyKeyReused(DomainError):
    """The key was used before for a request with another content."""

    code = "idempotency_key_reused"


class InvalidLadder(DomainError):
    """The ladder's steps could not be run in order."""

    code = "invalid_ladder"


class InvalidCalendar(DomainError):
    """The calendar has no working time, or its hours contradict each other."""

    code = "invalid_calendar"


class BeyondHorizon(DomainError):
    """The calendar does not come to so much working time in the years that are looked at."""

    code = "beyond_horizon"


class InvalidPolicy(DomainError):
    """The SLA policy's targets or its warning make no sense."""

    code = "invalid_sla_policy"


class InvalidConditions(DomainError):
    """The conditions of a rule are malformed; ``problems`` lists each path with what is wrong there."""

    code = "invalid_conditions"


class InvalidTemplate(DomainError):
    """A message template that could not be rendered; ``line`` says where."""

    code = "invalid_template"
