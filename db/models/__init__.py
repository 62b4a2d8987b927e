"""The tables, one module a noun; importing the package makes all of them known to the metadata."""

from db.models.conversation import Channel, Conversation, Message, Note, Requester, TicketOpening
from db.models.ladder import EscalationLadderRow, ReminderLadderRow
from db.models.organization import ApiKey, IdempotentRequest, Organization
from db.models.people import Member, Notification, Team, TeamMember
from db.models.privacy import Erasure, Export, ExportPage
from db.models.rule import Backtest, Decision, RuleRow, RuleVersion
from db.models.sla import CalendarRow, SlaPolicyRow, SlaPolicyVersion
from db.models.table import Table
from db.models.ticket import TicketEventRow, TicketRow

__all__ = [
    "ApiKey",
    "Backtest",
    "CalendarRow",
    "Channel",
    "Conversation",
    "Decision",
    "Erasure",
    "EscalationLadderRow",
    "Export",
    "ExportPage",
    "IdempotentRequest",
    "Member",
    "Message",
    "Note",
    "Notification",
    "Organization",
    "ReminderLadderRow",
    "Requester",
    "RuleRow",
    "RuleVersion",
    "SlaPolicyRow",
    "SlaPolicyVersion",
    "Table",
    "Team",
    "TeamMember",
    "TicketEventRow",
    "TicketOpening",
    "TicketRow",
]
