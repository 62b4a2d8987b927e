"""Who may do what: one table of the API's operations, the roles that may ask for them and the scope a key needs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a member may do, the most first."""

    OWNER = "owner"
    ADMIN = "admin"
    SUPERVISOR = "supervisor"
    AGENT = "agent"

    @property
    def rank(self) -> int:
        """Higher for who may do more."""
        return -list(Role).index(self)


class Scope(StrEnum):
    """What an API key may be limited to; ``admin`` holds all the others."""

    TICKETS_READ = "tickets:read"
    TICKETS_WRITE = "tickets:write"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_WRITE = "conversations:write"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    ACT_FOR_MEMBERS = "members:act_for"
    ADMIN = "admin"


class Access(StrEnum):
    """How somebody has to be known to ask for an operation."""

    PUBLIC = "public"  # nobody has to; what is sent is a password or a token
    CHANNEL = "channel"  # a platform, by its signature with a secret of the channel
    VISITOR = "visitor"  # a visitor of a web chat, by the token that opening it gave them
    OPERATOR = "operator"  # the operator's key
    SIGNED_IN = "signed_in"  # a session, whatever its organization
    GRANTED = "granted"  # a session or an API key of an organization, with the role and the scope


@dataclass(frozen=True)
class Permission:
    """One row: ``roles`` and ``scope`` count where access is ``granted``."""

    access: Access
    roles: Collection[Role] = ()
    scope: Scope | None = None


@dataclass(frozen=True)
class Refusal:
    """Why not, for people (``detail``) and for programs: the roles or the scope that would do."""

    detail: str
    roles: tuple[str, ...] = ()
    scope: str | None = None


def refusal(permission: Permission, role: Role | None, scopes: Collection[Scope] | None) -> Refusal | None:
    """What the caller lacks; ``None`` where nothing is lacking.

    ``role`` is that of the member who calls, or for whom a program does; ``None`` for a program by itself. ``scopes``
    of ``None`` are all rights. Both limit: a program gets no more than the member it acts for, nor than its key.
    """
    if not has_scope(scopes, permission.scope):
        return Refusal(f"The API key lacks the scope {permission.scope}.", scope=str(permission.scope))
    if role is not None and role not in permission.roles:
        allowed = tuple(each.value for each in Role if each in permission.roles)
        return Refusal(f"Your role is {role}; this takes {' or '.join(allowed)}.", roles=allowed)
    return None


def has_scope(scopes: Collection[Scope] | None, wanted: Scope | None) -> bool:
    """Whether ``scopes`` (``None``: all rights) hold the wanted one."""
    return scopes is None or wanted is None or wanted in scopes or Scope.ADMIN in scopes


def highest_gift(role: Role | None, scopes: Collection[Scope] | None) -> Role:
    """The highest role the caller may give or take: nobody's is above their own.

    A program by itself counts as an owner if its key has all rights, else as an agent: a key that may write people
    must not make itself an administrator.
    """
    own = Role.OWNER if has_scope(scopes, Scope.ADMIN) else Role.AGENT
    return own if role is None or (scopes is not None and own.rank < role.rank) else role


_EVERYBODY = frozenset(Role)
_SUPERVISORS = frozenset({Role.OWNER, Role.ADMIN, Role.SUPERVISOR})
_ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMIN})

_PUBLIC = Permission(Access.PUBLIC)
_CHANNEL = Permission(Access.CHANNEL)
_VISITOR = Permission(Access.VISITOR)
_SIGNED_IN = Permission(Access.SIGNED_IN)


def _granted(roles: frozenset[Role], scope: Scope) -> Permission:
    return Permission(Access.GRANTED, roles, scope)


_READ_TICKETS = _granted(_EVERYBODY, Scope.TICKETS_READ)
_WRITE_TICKETS = _granted(_EVERYBODY, Scope.TICKETS_WRITE)
_READ_CONVERSATIONS = _granted(_EVERYBODY, Scope.CONVERSATIONS_READ)
_WRITE_CONVERSATIONS = _granted(_EVERYBODY, Scope.CONVERSATIONS_WRITE)
_READ_PEOPLE = _granted(_EVERYBODY, Scope.PEOPLE_READ)
_WRITE_PEOPLE = _granted(_ADMINISTRATORS, Scope.PEOPLE_WRITE)
_READ_SETTINGS = _granted(_EVERYBODY, Scope.SETTINGS_READ)
_WRITE_SETTINGS = _granted(_ADMINISTRATORS, Scope.SETTINGS_WRITE)
_TRY_RULES = _granted(_SUPERVISORS, Scope.SETTINGS_WRITE)
_READ_TRIALS = _granted(_SUPERVISORS, Scope.SETTINGS_READ)
_REPORTS = _granted(_SUPERVISORS, Scope.TICKETS_READ)
_ADMINISTRATION = _granted(_ADMINISTRATORS, Scope.ADMIN)

OPERATIONS: Mapping[str, Permission] = {
    "POST /tickets": _WRITE_TICKETS,
    "GET /tickets": _READ_TICKETS,
    "GET /tickets/{ticket_id}": _READ_TICKETS,
    "PATCH /tickets/{ticket_id}": _WRITE_TICKETS,
    "POST /tickets/{ticket_id}/status": _WRITE_TICKETS,
    "POST /tickets/{ticket_id}/assignment": _WRITE_TICKETS,
    "POST /tickets/{ticket_id}/escalate": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/events": _READ_TICKETS,
    "GET /tickets/{ticket_id}/timers": _READ_TICKETS,
    "GET /tickets/{ticket_id}/decisions": _READ_TICKETS,
    "POST /tickets/{ticket_id}/messages": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/messages": _READ_TICKETS,
    "POST /tickets/{ticket_id}/notes": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/notes": _READ_TICKETS,
    "POST /conversations/{external_id}/messages": _WRITE_CONVERSATIONS,
    "POST /messages/batch": _WRITE_CONVERSATIONS,
    "GET /conversations": _READ_CONVERSATIONS,
    "GET /conversations/{external_id}": _READ_CONVERSATIONS,
    "GET /conversations/{external_id}/messages": _READ_CONVERSATIONS,
    "GET /conversations/{external_id}/decisions": _READ_CONVERSATIONS,
    "POST /conversations/{external_id}/replies": _WRITE_CONVERSATIONS,
    "GET /deliveries": _READ_CONVERSATIONS,
    "GET /deliveries/{delivery_id}": _READ_CONVERSATIONS,
    "POST /deliveries/{delivery_id}/send-again": _WRITE_CONVERSATIONS,
    "POST /deliveries/{delivery_id}/give-up": _WRITE_CONVERSATIONS,
    "GET /escalations": _READ_TICKETS,
    "GET /escalations/{escalation_id}": _READ_TICKETS,
    "POST /escalations/{escalation_id}/claim": _WRITE_TICKETS,
    "POST /escalations/{escalation_id}/resolve": _WRITE_TICKETS,
    "POST /escalations/{escalation_id}/dismiss": _WRITE_TICKETS,
    "POST /escalations/{escalation_id}/ticket": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/escalations": _READ_TICKETS,
    "POST /conversations/{external_id}/escalations": _WRITE_CONVERSATIONS,
    "POST /conversations/{external_id}/takeover": _WRITE_TICKETS,
    "POST /conversations/{external_id}/handback": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/watchers": _READ_TICKETS,
    "PUT /tickets/{ticket_id}/watchers/{member_id}": _WRITE_TICKETS,
    "DELETE /tickets/{ticket_id}/watchers/{member_id}": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/presence": _READ_TICKETS,
    "PUT /tickets/{ticket_id}/presence": _WRITE_TICKETS,
    "DELETE /tickets/{ticket_id}/presence": _WRITE_TICKETS,
    "GET /tickets/{ticket_id}/links": _READ_TICKETS,
    "POST /tickets/{ticket_id}/links": _WRITE_TICKETS,
    "DELETE /tickets/{ticket_id}/links/{link_id}": _WRITE_TICKETS,
    "POST /tickets/{ticket_id}/merge": _WRITE_TICKETS,
    "POST /tickets/bulk": _WRITE_TICKETS,
    "GET /bulk-changes/{bulk_change_id}": _READ_TICKETS,
    "POST /bulk-changes/{bulk_change_id}/stop": _WRITE_TICKETS,
    "GET /analytics/volumes": _REPORTS,
    "GET /analytics/first-response": _REPORTS,
    "GET /analytics/resolution": _REPORTS,
    "GET /analytics/sla": _REPORTS,
    "GET /analytics/escalation-to-human": _REPORTS,
    "GET /analytics/false-alarms": _REPORTS,
    "GET /analytics/queue": _REPORTS,
    "GET /analytics/dismissals": _REPORTS,
    "GET /notifications": _READ_TICKETS,
    "GET /notifications/unread": _READ_TICKETS,
    "POST /notifications/read": _WRITE_TICKETS,
    "GET /notifications/preferences": _READ_TICKETS,
    "PUT /notifications/preferences": _WRITE_TICKETS,
    "GET /events": _READ_TICKETS,
    "POST /channels": _WRITE_SETTINGS,
    "GET /channels": _READ_SETTINGS,
    "GET /channels/{channel_id}": _READ_SETTINGS,
    "PUT /channels/{channel_id}": _WRITE_SETTINGS,
    "DELETE /channels/{channel_id}": _WRITE_SETTINGS,
    "POST /channels/{channel_id}/secrets": _WRITE_SETTINGS,
    "GET /channels/{channel_id}/secrets": _READ_SETTINGS,
    "DELETE /channels/{channel_id}/secrets/{secret_id}": _WRITE_SETTINGS,
    "POST /channels/{channel_id}/webhook": _CHANNEL,
    "POST /channels/{channel_id}/chatwoot": _CHANNEL,
    "POST /webchat/{channel_id}/visits": _PUBLIC,
    "POST /webchat/{channel_id}/messages": _VISITOR,
    "GET /webchat/{channel_id}/messages": _VISITOR,
    "GET /webchat/{channel_id}/events": _VISITOR,
    "GET /requesters": _READ_CONVERSATIONS,
    "GET /requesters/{requester_id}": _READ_CONVERSATIONS,
    "GET /requesters/{requester_id}/conversations": _READ_CONVERSATIONS,
    "PUT /members/me/presence": _granted(_EVERYBODY, Scope.TICKETS_WRITE),
    "PUT /members/{member_id}/availability": _granted(_SUPERVISORS, Scope.PEOPLE_WRITE),
    "GET /teams/{team_id}/queue": _READ_TICKETS,
    "GET /members": _READ_PEOPLE,
    "GET /members/{member_id}": _READ_PEOPLE,
    "POST /members": _WRITE_PEOPLE,
    "PATCH /members/{member_id}": _WRITE_PEOPLE,
    "DELETE /members/{member_id}": _WRITE_PEOPLE,
    "GET /teams": _READ_PEOPLE,
    "GET /teams/{team_id}": _READ_PEOPLE,
    "POST /teams": _WRITE_PEOPLE,
    "PUT /teams/{team_id}": _WRITE_PEOPLE,
    "DELETE /teams/{team_id}": _WRITE_PEOPLE,
    "POST /invitations": _WRITE_PEOPLE,
    "GET /invitations": _WRITE_PEOPLE,
    "POST /invitations/{invitation_id}/resend": _WRITE_PEOPLE,
    "DELETE /invitations/{invitation_id}": _WRITE_PEOPLE,
    "GET /organization": _READ_SETTINGS,
    "PATCH /organization": _WRITE_SETTINGS,
    "POST /escalation-events": _WRITE_SETTINGS,
    "GET /escalation-events": _READ_SETTINGS,
    "PUT /escalation-events/order": _WRITE_SETTINGS,
    "GET /escalation-events/{rule_id}": _READ_SETTINGS,
    "PUT /escalation-events/{rule_id}": _WRITE_SETTINGS,
    "PUT /escalation-events/{rule_id}/mode": _WRITE_SETTINGS,
    "DELETE /escalation-events/{rule_id}": _WRITE_SETTINGS,
    "GET /escalation-events/{rule_id}/versions": _READ_SETTINGS,
    "GET /escalation-events/{rule_id}/decisions": _READ_CONVERSATIONS,
    "POST /escalation-events/backtests": _TRY_RULES,
    "POST /routing-rules": _WRITE_SETTINGS,
    "GET /routing-rules": _READ_SETTINGS,
    "PUT /routing-rules/order": _WRITE_SETTINGS,
    "GET /routing-rules/{rule_id}": _READ_SETTINGS,
    "PUT /routing-rules/{rule_id}": _WRITE_SETTINGS,
    "PUT /routing-rules/{rule_id}/mode": _WRITE_SETTINGS,
    "DELETE /routing-rules/{rule_id}": _WRITE_SETTINGS,
    "GET /routing-rules/{rule_id}/versions": _READ_SETTINGS,
    "GET /routing-rules/{rule_id}/decisions": _READ_CONVERSATIONS,
    "POST /routing-rules/backtests": _TRY_RULES,
    "GET /backtests": _READ_TRIALS,
    "GET /backtests/{backtest_id}": _READ_TRIALS,
    "POST /backtests/{backtest_id}/stop": _TRY_RULES,
    "GET /calendars": _READ_SETTINGS,
    "GET /calendars/{calendar_id}": _READ_SETTINGS,
    "GET /calendars/{calendar_id}/holidays": _READ_SETTINGS,
    "POST /calendars": _WRITE_SETTINGS,
    "PUT /calendars/{calendar_id}": _WRITE_SETTINGS,
    "DELETE /calendars/{calendar_id}": _WRITE_SETTINGS,
    "GET /sla-policies": _READ_SETTINGS,
    "GET /sla-policies/{policy_id}": _READ_SETTINGS,
    "POST /sla-policies/preview": _READ_SETTINGS,
    "POST /sla-policies": _WRITE_SETTINGS,
    "PUT /sla-policies/order": _WRITE_SETTINGS,
    "PUT /sla-policies/{policy_id}": _WRITE_SETTINGS,
    "DELETE /sla-policies/{policy_id}": _WRITE_SETTINGS,
    "POST /sla-policies/{policy_id}/apply": _WRITE_SETTINGS,
    "GET /sla-rollouts/{rollout_id}": _granted(_SUPERVISORS, Scope.SETTINGS_READ),
    "GET /reminder-ladders": _READ_SETTINGS,
    "GET /reminder-ladders/{ladder_id}": _READ_SETTINGS,
    "POST /reminder-ladders": _WRITE_SETTINGS,
    "PUT /reminder-ladders/{ladder_id}": _WRITE_SETTINGS,
    "DELETE /reminder-ladders/{ladder_id}": _WRITE_SETTINGS,
    "GET /escalation-ladders": _READ_SETTINGS,
    "GET /escalation-ladders/{ladder_id}": _READ_SETTINGS,
    "POST /escalation-ladders": _WRITE_SETTINGS,
    "PUT /escalation-ladders/{ladder_id}": _WRITE_SETTINGS,
    "DELETE /escalation-ladders/{ladder_id}": _WRITE_SETTINGS,
    "GET /message-templates": _READ_SETTINGS,
    "GET /message-templates/{template_id}": _READ_SETTINGS,
    "POST /message-templates": _WRITE_SETTINGS,
    "POST /message-templates/preview": _READ_SETTINGS,
    "PUT /message-templates/{template_id}": _WRITE_SETTINGS,
    "DELETE /message-templates/{template_id}": _WRITE_SETTINGS,
    "POST /api-keys": _ADMINISTRATION,
    "GET /api-keys": _ADMINISTRATION,
    "DELETE /api-keys/{key_id}": _ADMINISTRATION,
    "GET /audit-log": _ADMINISTRATION,
    "DELETE /requesters/{requester_id}": _ADMINISTRATION,
    "GET /erasures": _ADMINISTRATION,
    "GET /erasures/{erasure_id}": _ADMINISTRATION,
    "POST /exports": _ADMINISTRATION,
    "GET /exports": _ADMINISTRATION,
    "GET /exports/{export_id}": _ADMINISTRATION,
    "GET /exports/{export_id}/download": _ADMINISTRATION,
    "POST /organizations": Permission(Access.OPERATOR),
    "POST /sign-up": _PUBLIC,
    "POST /sign-in": _PUBLIC,
    "GET /sign-in/oidc": _PUBLIC,
    "GET /sign-in/oidc/callback": _PUBLIC,
    "POST /password-resets": _PUBLIC,
    "POST /password-resets/confirm": _PUBLIC,
    "POST /invitations/preview": _PUBLIC,
    "POST /invitations/accept": _PUBLIC,
    "GET /session": _SIGNED_IN,
    "DELETE /session": _SIGNED_IN,
    "PUT /session/organization": _SIGNED_IN,
    "GET /sessions": _SIGNED_IN,
    "DELETE /sessions": _SIGNED_IN,
    "DELETE /sessions/{session_id}": _SIGNED_IN,
    "PUT /password": _SIGNED_IN,
}
"""The table, by method and path below ``/api/v1``. The API does not start with a route that is not in it."""

OTHERS_NOTIFICATIONS = "GET /notifications, of another member or of all"

BEYOND: Mapping[str, Permission] = {OTHERS_NOTIFICATIONS: _granted(_SUPERVISORS, Scope.PEOPLE_READ)}
"""What some operations can be asked for beyond what their row grants, and who may ask for that."""


def as_markdown() -> str:
    """The table as ``docs/permissions.md`` shows it."""
    heads = [*(role.value for role in Role), "scope of a key"]
    lines = [f"| operation | {' | '.join(heads)} |", "| --- " * (len(heads) + 1) + "|"]
    for operation, permission in {**OPERATIONS, **BEYOND}.items():
        if permission.access is not Access.GRANTED:
            words = {
                Access.PUBLIC: "nobody has to be known",
                Access.OPERATOR: "the operator's key",
                Access.CHANNEL: "a signature with a secret of the channel",
                Access.VISITOR: "a visitor's token",
            }
            cells = ["", "", "", "", words.get(permission.access, "any session")]
        else:
            cells = ["yes" if role in permission.roles else "" for role in Role] + [f"`{permission.scope}`"]
        lines.append(f"| `{operation}` | {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return "\n".join(lines) + "\n"
