"""What a supervisor reads of a ticket in the Temporal UI."""

from domain.clocks import Clock
from domain.ticket import Ticket
from domain.timers import timers

_ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>()#+!|"})


def summary(ticket: Ticket) -> str:
    """Markdown: number and title, what the Temporal UI's list shows of a run; Temporal allows 400 bytes."""
    return escape(ticket.label).encode()[:400].decode(errors="ignore")


def details(ticket: Ticket) -> str:
    """Markdown: number, title, status, who has it, and what it waits for, the next first."""
    lines = [
        f"**{escape(ticket.label)}**",
        "",
        f"- Status: **{ticket.status.replace('_', ' ')}** since {ticket.status_since:%Y-%m-%d %H:%M} UTC",
        f"- Priority: {ticket.priority}",
        f"- Assignee: {escape(ticket.assignee_name or 'nobody')}",
        f"- Team: {escape(ticket.team_name or 'none')}",
    ]
    if ticket.tags:
        lines.append(f"- Tags: {escape(', '.join(ticket.tags))}")
    if ticket.unanswered_since:
        lines.append(f"- Customer unanswered since {ticket.unanswered_since:%Y-%m-%d %H:%M} UTC")
    lines += [_clock(clock) for clock in ticket.clocks.all() if clock.due_at or clock.breached_at]
    waits = timers(ticket)
    if waits:
        lines += ["", "Next:", ""]
        lines += [f"1. {timer.due_at:%Y-%m-%d %H:%M:%S} UTC: {escape(timer.summary)}" for timer in waits]
    return "\n".join(lines)


def _clock(clock: Clock) -> str:
    name = clock.metric.value.replace("_", " ").capitalize()
    policy = f" ({escape(clock.policy.name)} v{clock.policy.version})" if clock.policy else ""
    if clock.breached_at:
        return f"- {name}: **breached** {clock.breached_at:%Y-%m-%d %H:%M} UTC{policy}"
    return f"- {name}: due {clock.due_at:%Y-%m-%d %H:%M} UTC{policy}"


def escape(value: str) -> str:
    """Escape what Markdown would take for markup: titles are written by customers."""
    return value.translate(_ESCAPED)
