"""The roles a word or phrase can play in a request, as bits, under the names the language tables use."""

ROLES: dict[str, int] = {
    name: 1 << position
    for position, name in enumerate(
        (
            "staff",  # agent, operator, supervisor
            "human",  # human, person
            "someone",  # someone, anybody: a request only together with a verb
            "desk",  # customer service, support team
            "bot",  # bot, machine
            "genuine",  # real, live, actual
            "contact",  # talk, speak, get in touch
            "phone",  # call, ring: counts towards staff and desks only
            "connect",  # transfer, put through
            "want",  # want, need, give me
            "help",  # help, assistance
            "able",  # can, manage to: with a negation it means "cannot reach", which is a request
            "me",  # me, us
            "first",  # I, we: begins a new statement
            "there",  # is there
            "callback",  # call me back, request a callback
            "callme",  # call me: also how one gives a name
            "handover",  # put me through: needs no noun
            "request",  # whole phrases that are a request by themselves
            "unsure",  # whole phrases that may be one: can someone help me
            "negator",  # not, no, don't, no need
            "unknowing",  # don't know how: a negation of something else than the request
            "dislike",  # hate, tired of, pointless
            "said",  # told me, said: what follows is reported
            "past",  # spoke with, talked to: it has happened
            "identity",  # are you, is this
            "asking",  # what time, how many
            "details",  # number, opening hours
            "count",  # two, per, each
            "mine",  # my: my boss, my agent
            "but",  # but, instead: what follows stands for itself
            "link",  # to, who can: joins a noun to the verb after it
            "after",  # may follow "call me" without being a name
            "please",  # politeness and urgency
            "greeting",  # hello, dear, thanks: whoever is named next is spoken to, not asked for
            "skip",  # articles, prepositions, adverbs
            "other",  # another sense: travel agent, human resources
            "real",  # ordinary words that are one letter away from a table's word
        )
    )
}
"""Role name to bit."""

STAFF = ROLES["staff"]
HUMAN = ROLES["human"]
SOMEONE = ROLES["someone"]
DESK = ROLES["desk"]
BOT = ROLES["bot"]
GENUINE = ROLES["genuine"]
CONTACT = ROLES["contact"]
PHONE = ROLES["phone"]
CONNECT = ROLES["connect"]
WANT = ROLES["want"]
HELP = ROLES["help"]
ABLE = ROLES["able"]
ME = ROLES["me"]
FIRST = ROLES["first"]
THERE = ROLES["there"]
CALLBACK = ROLES["callback"]
CALLME = ROLES["callme"]
HANDOVER = ROLES["handover"]
REQUEST = ROLES["request"]
UNSURE = ROLES["unsure"]
NEGATOR = ROLES["negator"]
UNKNOWING = ROLES["unknowing"]
DISLIKE = ROLES["dislike"]
SAID = ROLES["said"]
PAST = ROLES["past"]
IDENTITY = ROLES["identity"]
ASKING = ROLES["asking"]
DETAILS = ROLES["details"]
COUNT = ROLES["count"]
MINE = ROLES["mine"]
BUT = ROLES["but"]
LINK = ROLES["link"]
AFTER = ROLES["after"]
PLEASE = ROLES["please"]
GREETING = ROLES["greeting"]
SKIP = ROLES["skip"]
OTHER = ROLES["other"]
REAL = ROLES["real"]

NOUNS = STAFF | HUMAN | SOMEONE | DESK
"""Whom a customer can ask for."""

ANCHORS = NOUNS | BOT | CALLBACK | CALLME | HANDOVER | REQUEST | UNSURE
"""Without one of these a clause cannot hold a request, and its language is not looked at."""

CORRECTED = NOUNS | BOT | GENUINE | CONTACT | PHONE | CONNECT | WANT | CALLBACK | CALLME | HANDOVER | REQUEST
"""Words of these roles are recognized with one letter wrong."""
