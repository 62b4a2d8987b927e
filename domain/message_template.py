"""Templates of what the system says to customers: a small language that can neither loop nor call."""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.errors import InvalidTemplate

MAX_TEMPLATE = 5_000
"""Characters of a template."""

MAX_MESSAGE = 10_000
"""Characters a template may come to, with the longest names there can be."""

MAX_DEPTH = 20
"""How deep a template's parts may be in one another."""

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "ticket": ("number", "title"),
    "customer": ("name",),
    "agent": ("name",),
    "organization": ("name",),
}
"""What a template may name: ``ticket.title``; what is not known is empty text."""

FILTERS = frozenset({"upper", "lower", "capitalize", "title", "trim", "truncate", "default"})

# No loops, calls, macros, arithmetic and look-ups: what a template costs follows from its length.
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.If,
    nodes.CondExpr,
    nodes.Name,
    nodes.Getattr,
    nodes.Const,
    nodes.Filter,
    nodes.Keyword,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)

_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, cache_size=200
)

Values = Mapping[str, Mapping[str, str | int]]


def check_template(source: str) -> None:
    """Refuse, with ``InvalidTemplate`` that names the ``line``, what could not be rendered whatever the ticket."""
    if len(source) > MAX_TEMPLATE:
        raise InvalidTemplate(f"A template has at most {MAX_TEMPLATE} characters.", line=1)
    try:
        tree = _ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        raise InvalidTemplate(f"Line {error.lineno}: {error.message}", line=error.lineno) from error
    except (RecursionError, ValueError, OverflowError) as error:
        raise InvalidTemplate("The template is too deep to be read.", line=1) from error
    for node, depth in _walk(tree):
        if depth > MAX_DEPTH:
            raise _at(node, "this is too deep in other parts.")
        _check_node(node)
    _check_length(source)


def render_template(source: str, values: Values) -> str:
    """The message. Raises ``InvalidTemplate`` for what ``check_template`` refuses, or where nothing is left to say."""
    try:
        text = _ENVIRONMENT.from_string(source).render(**values)
    except (TemplateError, RecursionError, ValueError, TypeError, SyntaxError) as error:
        raise InvalidTemplate("The template cannot be rendered.", line=1) from error
    text = text.strip()
    if not text:
        raise InvalidTemplate("Nothing is left to say.", line=1)
    if len(text) > MAX_MESSAGE:
        raise InvalidTemplate(f"This may come to more than {MAX_MESSAGE} characters.", line=1)
    return text


def _walk(node: nodes.Node, depth: int = 0) -> Iterator[tuple[nodes.Node, int]]:
    """The nodes with their depth; without recursion, since a template may be made to exhaust it."""
    waiting = [(node, depth)]
    while waiting:
        found, deep = waiting.pop()
        yield found, deep
        waiting.extend((child, deep + 1) for child in found.iter_child_nodes())


def _check_node(node: nodes.Node) -> None:
    if not isinstance(node, _ALLOWED):
        raise _at(node, f"{type(node).__name__.lower()} is not possible here; a template has text, names, and if.")
    if isinstance(node, nodes.Getattr):
        name = node.node.name if isinstance(node.node, nodes.Name) else None
        if name not in VARIABLES or node.attr not in VARIABLES[name]:
            raise _at(node, f"there is no {name or '…'}.{node.attr}; there are {', '.join(_names())}.")
    elif isinstance(node, nodes.Name) and node.name not in VARIABLES:
        raise _at(node, f"there is no {node.name}; there are {', '.join(_names())}.")
    elif isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise _at(node, f"there is no filter {node.name}; there are {', '.join(sorted(FILTERS))}.")


def _check_length(source: str) -> None:
    """Render it with the longest values, and with none."""
    longest = {name: dict.fromkeys(fields, "W" * 200) for name, fields in VARIABLES.items()}
    nothing = {name: dict.fromkeys(fields, "") for name, fields in VARIABLES.items()}
    for values in (longest, nothing):
        render_template(source, values)


def _names() -> list[str]:
    return [f"{name}.{each}" for name, fields in VARIABLES.items() for each in fields]


def _at(node: Any, problem: str) -> InvalidTemplate:
    return InvalidTemplate(f"Line {node.lineno}: {problem}", line=node.lineno)
