"""What a supervisor reads of an escalation in the Temporal UI."""

from domain.escalation import Escalation
from domain.escalation_timers import escalation_timers
from workflows.details import escape


def escalation_details(escalation: Escalation) -> str:
    """Markdown: status, who has it, why it was raised, and what it waits for, the next first."""
    lines = [
        f"**Escalation {escalation.id}**",
        "",
        f"- Status: **{escalation.status}** since {escalation.status_since:%Y-%m-%d %H:%M} UTC",
        f"- Priority: {escalation.priority}",
        f"- Owner: {escape(escalation.owner_name or 'nobody')}",
        f"- Conversation: {escalation.conversation_id}",
    ]
    if escalation.waiting_since:
        lines.append(f"- Customer waits since {escalation.waiting_since:%Y-%m-%d %H:%M} UTC")
    lines += [f"- {each.at:%Y-%m-%d %H:%M} UTC: {escape(each.words)}" for each in escalation.reasons]
    waits = escalation_timers(escalation)
    if waits:
        lines += ["", "Next:", ""]
        lines += [f"1. {timer.due_at:%Y-%m-%d %H:%M:%S} UTC: {escape(timer.summary)}" for timer in waits]
    return "\n".join(lines)
