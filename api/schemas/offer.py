"""What a ticket or an escalation offers to be done next, since the other one is over."""

from uuid import UUID

from api.schemas.fields import View


class OfferView(View):
    """What can be done next, since one of the two is over: `resolve_ticket` or `resolve_escalation`."""

    action: str
    method: str
    path: str
    document: dict[str, str]

    @classmethod
    def resolve_ticket(cls, ticket_id: UUID) -> "OfferView":
        """The request that ends the ticket."""
        path = f"/tickets/{ticket_id}/status"
        return cls(action="resolve_ticket", method="POST", path=path, document={"to": "resolved"})

    @classmethod
    def resolve_escalation(cls, escalation_id: UUID) -> "OfferView":
        """The request that ends the escalation."""
        path = f"/escalations/{escalation_id}/resolve"
        return cls(action="resolve_escalation", method="POST", path=path, document={})
