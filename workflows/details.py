"""What a supervisor reads of a ticket in the Temporal UI."""

from domain.ticket import Ticket
from domain.timers import timers


def details(ticket: Ticket) -> str:
    """Markdown: number, title, status, who has it, and what it waits for, the next first."""
    lines = [
        f"**{_text(ticket.label)}**",
        "",
        f"- Status: **{ticket.status.replace('_', ' ')}** since {ticket.status_since:%Y-%m-%d %H:%M} UTC",
        f"- Priority: {ticket.priority}",
        f"- Assignee: {_text(ticket.assignee_name or 'nobody')}",
        f"- Team: {_text(ticket.team_name or 'none')}",
    ]
    if ticket.tags:
        lines.append(f"- Tags: {_text(', '.join(ticket.tags))}")
    if ticket.unanswered_since:
        lines.append(f"- Customer unanswered since {ticket.unanswered_since:%Y-%m-%d %H:%M} UTC")
    waits = timers(ticket)
    if waits:
        lines += ["", "Next:", ""]
        lines += [f"1. {timer.due_at:%Y-%m-%d %H:%M:%S} UTC: {_text(timer.summary)}" for timer in waits]
    return "\n".join(lines)


def _text(value: str) -> str:
    """Escape what Markdown would take for markup: titles are written by customers."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+!|" else char for char in value)
