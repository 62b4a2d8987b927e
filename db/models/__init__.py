"""The tables, one module a noun; importing the package makes all of them known to the metadata."""

from db.models.account import Account, AccountSession, Attempts, Identity, Invitation, PasswordReset
from db.models.assignment import QueuedTicket, Rota
from db.models.audit import AuditEntry
from db.models.conversation import Channel, Conversation, Message, Note, Requester, TicketOpening, UntoldMessage
from db.models.delivery import ChannelSecret, Delivery
from db.models.escalation import EscalationChangeRow, EscalationNote, EscalationReasonRow, EscalationRow
from db.models.facts import TicketFacts
from db.models.ladder import EscalationLadderRow, ReminderLadderRow
from db.models.notice import LiveEvent, Mail, NotificationSettings
from db.models.organization import ApiKey, IdempotentRequest, Organization
from db.models.people import Member, Notification, Team, TeamMember
from db.models.privacy import Erasure, Export, ExportPage
from db.models.rule import Backtest, Decision, RuleRow, RuleVersion
from db.models.sla import CalendarRow, SlaPolicyRow, SlaPolicyVersion
from db.models.table import Table
from db.models.teamwork import BulkChange, TicketLink, TicketMerge, TicketPresence, TicketWatcher
from db.models.ticket import TicketEventRow, TicketRow
from db.models.wording import MessageTemplate

__all__ = [
    "Account",
    "AccountSession",
    "ApiKey",
    "Attempts",
    "AuditEntry",
    "Backtest",
    "BulkChange",
    "CalendarRow",
    "Channel",
    "ChannelSecret",
    "Conversation",
    "Decision",
    "Delivery",
    "Erasure",
    "EscalationChangeRow",
    "EscalationLadderRow",
    "EscalationNote",
    "EscalationReasonRow",
    "EscalationRow",
    "Export",
    "ExportPage",
    "IdempotentRequest",
    "Identity",
    "Invitation",
    "LiveEvent",
    "Mail",
    "Member",
    "Message",
    "MessageTemplate",
    "Note",
    "Notification",
    "NotificationSettings",
    "Organization",
    "PasswordReset",
    "QueuedTicket",
    "ReminderLadderRow",
    "Requester",
    "Rota",
    "RuleRow",
    "RuleVersion",
    "SlaPolicyRow",
    "SlaPolicyVersion",
    "Table",
    "Team",
    "TeamMember",
    "TicketEventRow",
    "TicketFacts",
    "TicketLink",
    "TicketMerge",
    "TicketOpening",
    "TicketPresence",
    "TicketRow",
    "TicketWatcher",
    "UntoldMessage",
]
