"""The condition tree of escalation events and routing rules, and what makes one invalid."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from domain.errors import InvalidConditions
from domain.ladders import Frozen
from domain.rules.keywords import Keyword

MAX_DEPTH = 8
"""Levels of ``all``, ``any`` and ``not`` in each other; more could not be read by a person."""

MAX_PARTS = 200
"""Conditions in one rule."""

MAX_KEYWORDS = 500
"""Keywords in one condition."""

MAX_MESSAGES = 20
"""How far back "k of the last n messages" may look."""

_BRANCHES = ("all", "any", "not")
_LEAVES = ("keyword", "sentiment", "channel", "human_requested", "business_hours", "tag")
_KINDS = _BRANCHES + _LEAVES

_WORDING = {"too_short": "must not be empty", "tuple_type": "must be a list", "string_type": "must be a text"}


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold NUL characters")
    return value


Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_storable)]
TagWord = Annotated[Word, AfterValidator(str.casefold)]
"""Tags are kept in lower case."""


class KeywordIs(Frozen):
    """One of these words or phrases stands in the message."""

    keyword: tuple[Word, ...] = Field(min_length=1, max_length=MAX_KEYWORDS)

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        return _listed(data, "keyword")

    @model_validator(mode="after")
    def _something_to_find(self) -> Self:
        for keyword in self.keyword:
            if not Keyword.of(keyword).findable:
                raise ValueError(f"{keyword!r} has no letter, digit or sign to look for")
        return self


class Threshold(Frozen):
    """A score, and in how many of the customer's last messages it must be reached.

    ``messages`` of the latest ``of_last``, this one included, must score at or below ``at_most``. Messages without a
    score count as messages and never reach it.
    """

    at_most: float = Field(ge=-1, le=1)
    messages: int = Field(default=1, ge=1, le=MAX_MESSAGES)
    of_last: int = Field(default=1, ge=1, le=MAX_MESSAGES)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.messages > self.of_last:
            raise ValueError(f"{self.messages} of the last {self.of_last} messages cannot be")
        return self


class SentimentIs(Frozen):
    """The customer's mood is at or below a score."""

    sentiment: Threshold


class ChannelIs(Frozen):
    """The conversation is on one of these channels, named by kind or by id."""

    channel: tuple[Word, ...] = Field(min_length=1, max_length=MAX_PARTS)

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        return _listed(data, "channel")


class HumanRequested(Frozen):
    """Whether the customer asks for a person."""

    human_requested: StrictBool


class BusinessHours(Frozen):
    """Whether it is business time; never true where the organization has no calendar."""

    business_hours: StrictBool


class TagIs(Frozen):
    """The conversation carries one of these tags."""

    tag: tuple[TagWord, ...] = Field(min_length=1, max_length=MAX_PARTS)

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, data: Any) -> Any:
        return _listed(data, "tag")


class All(Frozen):
    """Every part holds."""

    all: tuple["Condition", ...] = Field(min_length=1, max_length=MAX_PARTS)


class AnyOf(Frozen):
    """At least one part holds."""

    any: tuple["Condition", ...] = Field(min_length=1, max_length=MAX_PARTS)


class Not(Frozen):
    """The part does not hold."""

    not_: "Condition" = Field(alias="not")


def _kind(value: Any) -> str | None:
    """Which condition ``value`` is: the one key it has."""
    if isinstance(value, Frozen):
        return next(iter(type(value).model_fields)).rstrip("_")
    if isinstance(value, dict) and len(value) == 1:
        name = next(iter(value))
        return name if name in _KINDS else None
    return None


Condition = Annotated[
    Annotated[All, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[Not, Tag("not")]
    | Annotated[KeywordIs, Tag("keyword")]
    | Annotated[SentimentIs, Tag("sentiment")]
    | Annotated[ChannelIs, Tag("channel")]
    | Annotated[HumanRequested, Tag("human_requested")]
    | Annotated[BusinessHours, Tag("business_hours")]
    | Annotated[TagIs, Tag("tag")],
    Discriminator(
        _kind,
        custom_error_type="condition_kind",
        custom_error_message=f"must have exactly one of these keys: {', '.join(_KINDS)}",
    ),
]
"""A tree: an object with one key, which says what it is: ``{"any": [{"keyword": "refund"}, {"tag": "vip"}]}``."""

for _branch in (All, AnyOf, Not):
    _branch.model_rebuild()

_ADAPTER: TypeAdapter[Condition] = TypeAdapter(Condition)


def read_conditions(data: object, at: str = "conditions") -> Condition:
    """The tree in ``data``, plain JSON values; ``at`` is what the paths of its problems begin with.

    Raises ``InvalidConditions``, whose ``problems`` name each the path of what is wrong and say what is.
    """
    _check_size(data, at)
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise invalid(_problems(error, at)) from None


def invalid(problems: Sequence[tuple[str, str]]) -> InvalidConditions:
    """The refusal that lists ``problems``, each a path and what is wrong there."""
    first = "; ".join(f"{path}: {message}" for path, message in problems[:3])
    listed = [{"path": path, "message": message} for path, message in problems]
    return InvalidConditions(f"The conditions are not valid. {first}", problems=listed)


def dump_conditions(condition: Condition) -> dict[str, Any]:
    """``condition`` as plain JSON values, which ``read_conditions`` reads again."""
    dumped: dict[str, Any] = _ADAPTER.dump_python(condition, mode="json", by_alias=True, exclude_defaults=True)
    return dumped


def leaves(condition: Condition) -> Iterator[Condition]:
    """Every condition of the tree that has no parts."""
    return (leaf for _, leaf in placed_leaves(condition))


def placed_leaves(condition: Condition, at: str = "conditions") -> Iterator[tuple[str, Condition]]:
    """Every condition of the tree that has no parts, with its path."""
    match condition:
        case Not(not_=inner):
            yield from placed_leaves(inner, f"{at}/not")
        case All() | AnyOf():
            for place, part in enumerate(parts(condition)):
                yield from placed_leaves(part, f"{at}/{_kind(condition)}/{place}")
        case _:
            yield at, condition


def parts(condition: Condition) -> tuple[Condition, ...]:
    """The parts of ``all``, ``any`` and ``not``; none for the others."""
    match condition:
        case All(all=inner) | AnyOf(any=inner):
            return inner
        case Not(not_=inner):
            return (inner,)
        case _:
            return ()


def _check_size(data: object, at: str) -> None:
    """Refuse a tree that is too deep or too large, without recursing into it."""
    waiting: list[tuple[object, str, int]] = [(data, at, 1)]
    seen = 0
    while waiting:
        value, path, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH:
            raise invalid([(path, f"is nested more than {MAX_DEPTH} levels deep")])
        if seen > MAX_PARTS:
            raise invalid([(at, f"has more than {MAX_PARTS} parts")])
        if not isinstance(value, dict):
            continue
        for branch in ("all", "any"):
            inner = value.get(branch)
            if isinstance(inner, list | tuple):
                waiting.extend((part, f"{path}/{branch}/{place}", depth + 1) for place, part in enumerate(inner))
        if "not" in value:
            waiting.append((value["not"], f"{path}/not", depth + 1))


def _listed(data: Any, field: str) -> Any:
    if isinstance(data, dict) and isinstance(data.get(field), str):
        return {**data, field: (data[field],)}
    return data


def _path(at: str, location: tuple[int | str, ...]) -> str:
    """A place in the tree: pydantic names each condition twice, by its tag and by its field."""
    steps: list[str] = []
    skip_field = False
    for place, step in enumerate(location):
        if skip_field and step == location[place - 1]:
            skip_field = False
            continue
        skip_field = step in _KINDS and not skip_field
        steps.append(str(step))
    return "/".join((at, *steps))


def _problems(error: ValidationError, at: str) -> list[tuple[str, str]]:
    found = [(_path(at, item["loc"]), item["type"], item["msg"]) for item in error.errors(include_url=False)]
    paths = [path for path, _, _ in found]
    return [
        (path, _WORDING.get(kind) or message.removeprefix("Value error, "))
        for path, kind, message in found
        # A list that lost its only part to another problem is not empty in the eyes of who wrote it.
        if not (kind == "too_short" and any(other.startswith(f"{path}/") for other in paths))
    ]
