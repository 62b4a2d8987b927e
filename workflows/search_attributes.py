"""The search attributes of tickets: what a supervisor can filter by in the Temporal UI.

Each write costs, so a workflow upserts one only when its value changes. They hold ids and states, never names or text.
"""

from temporalio.common import SearchAttributeKey

TICKET_STATUS = SearchAttributeKey.for_keyword("TicketStatus")
TICKET_PRIORITY = SearchAttributeKey.for_keyword("TicketPriority")
TICKET_TEAM = SearchAttributeKey.for_keyword("TicketTeam")
TICKET_ASSIGNEE = SearchAttributeKey.for_keyword("TicketAssignee")
TICKET_ORGANIZATION = SearchAttributeKey.for_keyword("TicketOrganization")
TICKET_BREACHED = SearchAttributeKey.for_bool("TicketBreached")

ALL = (TICKET_STATUS, TICKET_PRIORITY, TICKET_TEAM, TICKET_ASSIGNEE, TICKET_ORGANIZATION, TICKET_BREACHED)
