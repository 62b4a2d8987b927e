"""What makes a clause a request for a person, verb and noun near each other, and what speaks against it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from domain.detection import roles as r
from domain.detection.language import Language
from domain.detection.lexicon import Token

_REACH = 8  # tokens between the noun and the verb that belongs to it
_FILLING = r.SKIP | r.GENUINE | r.NOUNS | r.ME | r.PLEASE | r.HELP | r.COUNT
_VERBS = r.CONTACT | r.PHONE | r.CONNECT | r.WANT
_HEAD = _VERBS | r.HELP | r.SKIP | r.ME | r.PLEASE | r.ABLE | r.LINK | r.THERE
_BARE = _VERBS | r.NOUNS | r.GENUINE | r.SKIP | r.PLEASE | r.HELP | r.THERE | r.LINK | r.ME | r.ABLE | r.AFTER
_NOT_BARE = r.COUNT | r.MINE | r.IDENTITY | r.PAST | r.SAID | r.ASKING | r.DETAILS | r.NEGATOR | r.DISLIKE
_WITH_VERB = frozenset({"contact a person", "connect to a person", "call a person", "person and contact"})
_SHORT = 6  # tokens in a clause that names whom it wants and nothing else


@dataclass(frozen=True, slots=True)
class Match:
    """A request in tokens ``first`` to ``last``, by the pattern of that name."""

    pattern: str
    score: float
    first: int
    last: int


class Extent(Enum):
    """How much of its sentence a clause is."""

    WHOLE = "whole"
    END = "end"
    MIDDLE = "middle"


def best_match(tokens: Sequence[Token], language: Language, extent: Extent) -> Match | None:
    """The strongest request in a clause, which is ``extent`` of its sentence."""
    best: Match | None = None
    begin = 0
    for end in (*(i for i, token in enumerate(tokens) if token.roles & r.BUT), len(tokens)):
        if end > begin:
            alone = begin == 0 and end == len(tokens)
            part = _Part(tokens[begin:end], language, extent if alone else Extent.MIDDLE)
            for match in part.matches():
                if best is None or match.score > best.score:
                    best = Match(match.pattern, match.score, match.first + begin, match.last + begin)
        begin = end + 1
    return best


def only_urges(tokens: Sequence[Token]) -> bool:
    """Whether words only say how much something is wanted: "please help", "now"."""
    return all(token.roles & (r.PLEASE | r.HELP | r.ME) and not token.roles & r.GREETING for token in tokens)


class _Part:
    """A clause, or the part of it on one side of a "but"."""

    def __init__(self, tokens: Sequence[Token], language: Language, extent: Extent) -> None:
        self.tokens = tokens
        self.roles = [token.roles for token in tokens]
        self.language = language
        self.extent = extent
        self.all_roles = 0
        for token in tokens:
            self.all_roles |= token.roles

    def matches(self) -> Iterator[Match]:
        """Every request that nothing speaks against, weaker where a word was misspelt."""
        for match in self._found():
            if self._vetoed(match):
                continue
            misspelt = sum(self.tokens[i].corrected for i in range(match.first, match.last + 1))
            score = match.score - 0.1 * misspelt
            yield Match(match.pattern, max(score, 0.05), match.first, match.last)

    def _found(self) -> Iterator[Match]:
        present = self.all_roles
        if present & r.NOUNS:
            for at, role in enumerate(self.roles):
                in_a_row = at and at + 1 < len(self.roles) and self.roles[at - 1] & self.roles[at + 1] & r.NOUNS
                if role & r.NOUNS and not in_a_row and not self._counted(at):
                    yield from self._around_noun(at, role)
            yield from self._bare()
        if present & r.BOT:
            yield from self._refused_bot()
        if present & (r.CALLBACK | r.CALLME):
            yield from self._callback()
        for at, role in enumerate(self.roles):
            if role & r.REQUEST:
                yield Match("fixed phrase", 0.85, at, at)
            elif role & r.HANDOVER and (self._is_all(at) or self._names_someone(at)):
                yield Match("handover", 0.75, at, at)
            elif role & r.UNSURE:
                spoken_to = self._spoken_to(at)
                yield Match("person and contact", 0.85, at, spoken_to) if spoken_to else Match("perhaps", 0.4, at, at)

    # Nouns

    def _around_noun(self, at: int, role: int) -> Iterator[Match]:
        if self.all_roles & (_VERBS | r.THERE):
            yield from self._verb_before(at, role)
            yield from self._verb_after(at, role)
        genuine = role & (r.HUMAN | r.STAFF) and at and self.roles[at - 1] & r.GENUINE
        told = self.all_roles & (r.PAST | r.SAID | r.MINE | r.NEGATOR | r.ASKING)
        if genuine and not told and len(self.roles) <= _SHORT + 3:
            yield Match("real person", 0.75, at - 1, at)

    def _verb_before(self, at: int, noun: int) -> Iterator[Match]:
        unknown = 0
        to_me = genuine = False
        for i in range(at - 1, max(-1, at - 1 - _REACH), -1):
            role = self.roles[i]
            if role & (r.CONTACT | r.CONNECT | r.PHONE):
                matched = self._contact(role, noun, to_me, genuine)
                if matched:
                    yield Match(matched, 0.95 - 0.1 * unknown, self._head(i), at)
                    return
            if role & r.WANT and not unknown and self._is_wanted(at, noun):
                yield Match("wants a person", 0.9, self._head(i), at)
                return
            if role & r.THERE and not unknown and self._present(at, noun, genuine):
                yield Match("is there a person", 0.85, i, at)
                return
            if role & r.ME:
                to_me = True
            if role & r.GENUINE:
                genuine = True
            if role & (_FILLING | _VERBS | r.LINK | r.ABLE | r.AFTER):
                continue
            if role & r.NEGATOR and self.language.negation_inside:
                continue
            if role:
                return
            unknown += self.tokens[i].length
            if unknown > 1:
                return

    def _verb_after(self, at: int, noun: int) -> Iterator[Match]:
        linked = self.language.noun_first
        unknown = 0
        for i in range(at + 1, min(len(self.roles), at + 1 + _REACH)):
            role = self.roles[i]
            if role & (r.CONTACT | r.CONNECT | r.PHONE) and (linked or i > at + 1):
                first_verb = role & (r.CONTACT | r.PHONE) if not self.language.noun_first else role
                if linked and first_verb and self._contact(first_verb, noun, True, True):
                    yield Match("person and contact", 0.9 - 0.1 * unknown, self._noun_head(at), self._tail(i))
                    return
            if role & r.WANT and self.language.noun_first and not unknown and noun & (r.HUMAN | r.STAFF | r.DESK):
                yield Match("wants a person", 0.9, self._noun_head(at), self._tail(i))
                return
            if role & r.THERE and self.language.noun_first and self._present(at, noun, False):
                yield Match("is there a person", 0.8, self._noun_head(at), i)
                return
            if role & r.LINK:
                linked = True
                continue
            if role & (r.SKIP | r.GENUINE | r.NOUNS | r.ME | r.PLEASE | r.HELP | r.ABLE | r.AFTER):
                continue
            if self.language.noun_first and role & (r.NEGATOR | r.FIRST | r.WANT):
                continue
            if not self.language.noun_first and linked and role & r.FIRST:
                continue
            if role or not self.language.noun_first:
                return
            unknown += self.tokens[i].length
            if unknown > 1:
                return

    @staticmethod
    def _contact(verb: int, noun: int, to_me: bool, genuine: bool) -> str | None:
        if verb & r.CONTACT:
            return "contact a person"
        if verb & r.CONNECT and (to_me or genuine or noun & (r.STAFF | r.DESK | r.HUMAN)):
            return "connect to a person"
        if verb & r.PHONE and noun & (r.STAFF | r.DESK):
            return "call a person"
        return None

    def _is_wanted(self, at: int, noun: int) -> bool:
        """Whether the noun can be what is wanted: "someone" only when it is someone to help, talk or call."""
        helps = any(role & (r.HELP | r.CONTACT | r.PHONE | r.CALLME) for role in self.roles[at + 1 : at + 4])
        return bool(noun & (r.HUMAN | r.STAFF | r.DESK) or helps) and not self._compound(at)

    def _present(self, at: int, noun: int, genuine: bool) -> bool:
        """Whether "is there a person" asks for one, and is not a question about something a person did."""
        after = self.roles[at + 1 : at + 5]
        return (
            not after
            or genuine
            or any(role & (r.CONTACT | r.HELP | r.CONNECT | r.PHONE) for role in after)
            or all(role & (r.SKIP | r.PLEASE | r.AFTER | r.GENUINE | r.NOUNS | r.LINK) for role in after)
            or bool(noun & r.STAFF and after[0] & (r.LINK | r.SKIP))
        )

    def _counted(self, at: int) -> bool:
        """Whether the noun is counted ("for two people") or another's ("someone else's")."""
        role = self.roles[at]
        for i in range(at - 1, max(-1, at - 3), -1):
            if self.roles[i] & r.COUNT:
                return bool(role & (r.HUMAN | r.SOMEONE | r.STAFF))
            if not self.roles[i] & (r.GENUINE | r.SKIP):
                return False
        return False

    def _compound(self, at: int) -> bool:
        """Whether a strange word after the noun makes another thing of it: "agent fee"."""
        if not self.language.compounds:
            return False
        last = at
        while last + 1 < len(self.roles) and self.roles[last + 1] & r.NOUNS:
            last += 1
        return last + 1 < len(self.roles) and not self.roles[last + 1]

    def _bare(self) -> Iterator[Match]:
        if self.extent is Extent.MIDDLE or len(self.roles) > _SHORT or self.all_roles & _NOT_BARE:
            return
        if self.extent is Extent.END and not self.roles[-1] & r.PLEASE:  # "I give up, a human please"
            return
        nouns = [i for i, role in enumerate(self.roles) if role & (r.STAFF | r.HUMAN | r.DESK)]
        if nouns and all(role & _BARE for role in self.roles) and not self._greeted(nouns[0]):
            yield Match("only a person named", 0.75, nouns[0], nouns[-1])

    def _greeted(self, at: int) -> bool:
        """Whether the noun is whom a greeting or thanks is for: "dear support"."""
        for role in reversed(self.roles[:at]):
            if role & r.GREETING:
                return True
            if not role & (r.SKIP | r.GENUINE | r.NOUNS):
                return False
        return False

    # Bots, callbacks

    def _refused_bot(self) -> Iterator[Match]:
        if self.all_roles & r.IDENTITY:
            return
        for at, role in enumerate(self.roles):
            if not role & r.BOT:
                continue
            wanted = contact = False
            for i in range(at - 1, max(-1, at - 1 - _REACH), -1):
                before = self.roles[i]
                if before & r.DISLIKE:
                    yield Match("refuses the bot", 0.85, i, at)
                    break
                if before & r.NEGATOR:
                    adjacent = all(role & r.SKIP for role in self.roles[i + 1 : at])
                    if wanted or contact or (adjacent and (len(self.roles) <= _SHORT or self.all_roles & r.NOUNS)):
                        yield Match("refuses the bot", 0.85, i, at)
                    break
                if not before & (
                    r.SKIP | _VERBS | r.GENUINE | r.ME | r.HELP | r.LINK | r.FIRST | r.NOUNS | r.PLEASE | r.AFTER
                ):
                    break
                wanted = wanted or bool(before & r.WANT)
                contact = contact or bool(before & r.CONTACT)
            for i in range(at + 1, min(len(self.roles), at + 6)):
                after = self.roles[i]
                if after & r.DISLIKE and (contact or self.language.noun_first):
                    yield Match("refuses the bot", 0.85, at, i)
                if after & r.NEGATOR and self.language.negation_after:
                    yield Match("refuses the bot", 0.85, at, i)
                if not after & (r.SKIP | _VERBS | r.ME | r.HELP | r.LINK | r.PLEASE | r.FIRST):
                    break

    def _callback(self) -> Iterator[Match]:
        for at, role in enumerate(self.roles):
            if role & r.CALLBACK:
                yield Match("callback", 0.85, at, at)
            elif role & r.CALLME and self._ends_or_goes_on(at) and not self._others_do_it(at):
                yield Match("call me", 0.8, at, at)

    def _others_do_it(self, at: int) -> bool:
        """Whether somebody unknown is "to call me": a driver, or the person who brings the parcel."""
        if not (at and self.roles[at - 1] & r.LINK):
            return False
        for i in range(at - 1, max(-1, at - 5), -1):
            role = self.roles[i]
            if not role & (r.SKIP | r.LINK | r.ME | r.ABLE | r.PLEASE | r.HELP):
                return not role & (r.WANT | r.NOUNS | r.CONNECT | r.CONTACT)
        return False

    def _ends_or_goes_on(self, at: int) -> bool:
        """Whether nothing, or a number, a time, a reason or a "please", follows; a strange word would be a name."""
        if at + 1 == len(self.roles) or self.tokens[at + 1].number:
            return True
        return bool(self.roles[at + 1] & (r.AFTER | r.PLEASE | r.FIRST | r.ME | r.MINE | r.LINK | r.NOUNS))

    def _is_all(self, at: int) -> bool:
        """Whether only what is handed over follows, or when and how fast; "to" and "with" lead to whom or what."""
        following = (role for role in self.roles[at + 1 :] if not role & r.ME)
        after = next(following, r.PLEASE)
        return bool(after & (r.PLEASE | r.FIRST) or (after & r.AFTER and not after & (r.SKIP | r.LINK)))

    def _names_someone(self, at: int) -> bool:
        """Whether a person follows, with nothing but small words between."""
        for role in self.roles[at + 1 : at + 5]:
            if role & r.NOUNS:
                return True
            if not role & (r.SKIP | r.GENUINE | r.MINE | r.PLEASE):
                break
        return False

    def _spoken_to(self, at: int) -> int | None:
        """Where, after "is there someone", the verb of "I could talk to" stands."""
        for i in range(at + 1, min(len(self.roles), at + 7)):
            if self.roles[i] & (r.CONTACT | r.PHONE):
                return i
            if not self.roles[i] & (r.SKIP | r.LINK | r.FIRST | r.ABLE | r.ME | r.HELP | r.WANT):
                break
        return None

    # The extent of a request, and what speaks against it

    def _head(self, at: int) -> int:
        """Where the request begins that has its verb at ``at``: "I would like | to be able to talk"."""
        first = at
        for i in range(at - 1, max(-1, at - 7), -1):
            if not self.roles[i] & _HEAD or self.roles[i] & (r.FIRST | r.UNKNOWING):
                break
            if self.roles[i] & (_VERBS | r.HELP | r.ABLE):
                first = i
        return first

    def _noun_head(self, at: int) -> int:
        first = at
        while first and self.roles[first - 1] & (r.GENUINE | r.NOUNS):
            first -= 1
        if self.language.noun_first:
            for i in range(first - 1, max(-1, first - 5), -1):
                if not self.roles[i] & (_HEAD | r.NEGATOR) or self.roles[i] & r.FIRST:
                    break
                if self.roles[i] & _VERBS:
                    first = i
        return first

    def _tail(self, at: int) -> int:
        """Where the request ends whose verb, after the noun, is at ``at``."""
        last = at
        for i in range(at + 1, min(len(self.roles), at + 4)):
            if not self.roles[i] & (_VERBS | r.SKIP | r.HELP | r.ABLE | r.PLEASE):
                break
            if self.roles[i] & (_VERBS | r.HELP | r.ABLE):
                last = i
        return last

    def _vetoed(self, match: Match) -> bool:
        if match.pattern == "refuses the bot":
            return self._reported(match)
        return self._negated(match) or self._reported(match) or self._identity(match) or self._enquiry(match)

    def _negated(self, match: Match) -> bool:
        if not self.all_roles & r.NEGATOR:
            return False
        negators = list(range(match.first + 1, match.last)) if self.language.negation_inside else []
        for i in range(match.first - 1, max(-1, match.first - 5), -1):
            if self.roles[i] & r.NEGATOR:
                negators.append(i)
                break
            if not self.roles[i] & (r.SKIP | r.ME | r.PLEASE | r.LINK | r.ABLE | r.HELP) or self.roles[i] & r.FIRST:
                break
        if self.language.negation_after:
            for i in range(match.last + 1, min(len(self.roles), match.last + 4)):
                if self.roles[i] & r.NEGATOR:
                    negators.append(i)
                if self.roles[i] & r.FIRST:
                    break
        return any(self.roles[i] & r.NEGATOR and not self._means_unable(i) for i in negators)

    def _means_unable(self, at: int) -> bool:
        """Whether the negator belongs to "can" or "know": who cannot reach an agent wants one."""
        near = self.roles[max(0, at - 2) : at + 3]
        return any(role & (r.ABLE | r.UNKNOWING) for role in near)

    def _reported(self, match: Match) -> bool:
        """Whether somebody else said it, or it has happened."""
        if not self.all_roles & (r.SAID | r.PAST):
            return False
        with_verb = match.pattern in _WITH_VERB
        for i, role in enumerate(self.roles[: match.last + 3]):
            by_others = role & r.SAID and not any(self.roles[j] & r.FIRST for j in range(max(0, i - 2), i))
            if by_others and (i < match.first or not with_verb):
                return True
            if role & r.PAST and i <= match.last and not with_verb:
                return True
        return False

    def _identity(self, match: Match) -> bool:
        if not self.all_roles & r.IDENTITY:
            return False
        matched = self.roles[match.first : match.last + 1]
        if any(role & (r.WANT | r.CONNECT | r.CALLBACK) for role in matched):
            return False
        return any(role & r.IDENTITY for role in self.roles[: match.last + 1]) or self.language.noun_first

    def _enquiry(self, match: Match) -> bool:
        """Whether it asks for hours or a number, which is information and not a person."""
        if not self.all_roles & (r.ASKING | r.DETAILS):
            return False
        if any(role & r.ASKING for role in self.roles[: match.first]):
            return True
        if match.pattern in {"call me", "callback", "fixed phrase"}:
            return False
        near = self.roles[max(0, match.first - 3) : match.first] + self.roles[match.last + 1 : match.last + 2]
        return any(role & r.DETAILS for role in near)
