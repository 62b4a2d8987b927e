"""When rules called for people in vain: one definition for a rule's own counts and for reports.

A member says so, who dismisses an escalation ("did not need a human"): it counts for each version of a rule that was a
reason of it. And a ticket shows it that was resolved without an answer by any human.
"""

ALONE = "f.resolved_at IS NOT NULL AND f.first_replied_at IS NULL AND NOT f.merged"
"""Of a ticket's facts ``f``: nobody had to answer."""

ENDED = "f.status IN ('resolved', 'dismissed')"
DISMISSED = "f.status = 'dismissed'"
"""Of an escalation ``f``."""

RAISED_BY_RULES = "escalation_reasons AS d JOIN {escalations} ON f.id = d.escalation_id AND d.rule_id IS NOT NULL"
"""Each reason ``d`` that is a rule's, with its escalation, which ``{escalations}`` calls ``f``."""
