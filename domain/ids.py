"""Ids that follow from what they name, so that doing a thing twice names it the same."""

from uuid import UUID, uuid5

_MAILS = UUID("5a3c1f0e-7b0c-4d43-9a55-0f6f3f0e6d11")


def ticket_id(organization_id: UUID, request_id: str) -> UUID:
    """The ticket a creation request makes."""
    return uuid5(organization_id, f"ticket:{request_id}")


def follow_up_id(closed_ticket_id: UUID) -> UUID:
    """The ticket that takes over from one that was closed too long ago."""
    return uuid5(closed_ticket_id, "follow-up")


def conversation_id(of_ticket_id: UUID) -> UUID:
    """The conversation of a ticket that was made by hand."""
    return uuid5(of_ticket_id, "conversation")


def known_conversation_id(organization_id: UUID, external_id: str) -> UUID:
    """The conversation a chat platform knows by ``external_id``."""
    return uuid5(organization_id, f"conversation:{external_id}")


def conversation_ticket_id(of_conversation_id: UUID) -> UUID:
    """The first ticket that is made of a conversation; later ones follow up on it."""
    return uuid5(of_conversation_id, "ticket")


def decision_id(of_id: UUID, rule_id: UUID) -> UUID:
    """What a rule made of a message or a ticket."""
    return uuid5(of_id, f"rule:{rule_id}")


def requester_id(organization_id: UUID, external_id: str) -> UUID:
    """The requester a caller knows by ``external_id``."""
    return uuid5(organization_id, f"requester:{external_id}")


def message_id(of_conversation_id: UUID, external_id: str) -> UUID:
    """The message a channel knows by ``external_id``."""
    return uuid5(of_conversation_id, external_id)


def erasure_workflow_id(organization_id: UUID, erasure_id: UUID) -> str:
    """The workflow that erases a requester."""
    return f"erasure-{organization_id}-{erasure_id}"


def export_workflow_id(organization_id: UUID, export_id: UUID) -> str:
    """The workflow that writes an export."""
    return f"export-{organization_id}-{export_id}"


def escalation_id(reason_id: UUID) -> UUID:
    """The escalation that a reason makes, where none is live in its conversation."""
    return uuid5(reason_id, "escalation")


def raising_id(of_conversation_id: UUID, request_id: str) -> UUID:
    """The reason a request gives."""
    return uuid5(of_conversation_id, f"raise:{request_id}")


def human_request_id(of_message_id: UUID) -> UUID:
    """The reason a message gives in which the customer asks for a human."""
    return uuid5(of_message_id, "human-request")


def breach_id(of_ticket_id: UUID, metric: str, episode: int) -> UUID:
    """The reason a breach gives."""
    return uuid5(of_ticket_id, f"breach:{metric}:{episode}")


def escalation_workflow_id(of_conversation_id: UUID) -> str:
    """The workflow that owns a conversation's live escalation, of which there is one at most."""
    return f"escalation-{of_conversation_id}"


def workflow_id(of_ticket_id: UUID) -> str:
    """The workflow that owns a ticket."""
    return f"ticket-{of_ticket_id}"


def backtest_workflow_id(backtest_id: UUID) -> str:
    """The workflow that runs a back-test."""
    return f"backtest-{backtest_id}"


def mail_id(key: str) -> UUID:
    """The mail that is sent once for ``key``."""
    return uuid5(_MAILS, key)


def mail_workflow_id(of_mail_id: UUID) -> str:
    """The workflow that sends a mail."""
    return f"mail-{of_mail_id}"


def delivery_id(organization_id: UUID, key: str) -> UUID:
    """The delivery that is made once for ``key``."""
    return uuid5(organization_id, f"delivery:{key}")


def deliveries_workflow_id(conversation_id: UUID) -> str:
    """The workflow that delivers what a conversation has to be told."""
    return f"deliveries-of-{conversation_id}"


def gathering_workflow_id(member_id: UUID) -> str:
    """The workflow that gathers what a member is told into mails."""
    return f"mails-of-{member_id}"
