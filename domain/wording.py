"""What the system says to customers: built-in words by language, and which words an organization's message takes."""

from collections.abc import Iterator, Mapping

from domain.events import CustomerMessageKind

SYSTEM_AUTHOR = "Support"

DEFAULT_LANGUAGE = "en"

ON_BY_DEFAULT: Mapping[CustomerMessageKind, bool] = {
    CustomerMessageKind.REMINDER: True,
    CustomerMessageKind.RESOLVED: True,
    CustomerMessageKind.CLOSED: False,
    CustomerMessageKind.REOPENED: False,
}
"""Which kinds are said where the organization has not chosen."""

_GREETING_EN = "{% if customer.name %}Hello {{ customer.name }},\n\n{% endif %}"
_GREETING_ES = "{% if customer.name %}Hola, {{ customer.name }}:\n\n{% endif %}"
_GREETING_DE = "Guten Tag{% if customer.name %} {{ customer.name }}{% endif %},\n\n"
_GREETING_FR = "{% if customer.name %}Bonjour {{ customer.name }},\n\n{% endif %}"
_GREETING_PT = "{% if customer.name %}Olá, {{ customer.name }}!\n\n{% endif %}"
_TICKET = "“{{ ticket.title }}” (#{{ ticket.number }})"

BUILT_IN: Mapping[str, Mapping[CustomerMessageKind, str]] = {
    "en": {
        CustomerMessageKind.REMINDER: f"{_GREETING_EN}We are waiting for your answer about {_TICKET}. "
        "Please reply here, so that we can go on.",
        CustomerMessageKind.RESOLVED: f"{_GREETING_EN}We have marked {_TICKET} as resolved. "
        "If it is not, reply here and we will open it again.",
        CustomerMessageKind.CLOSED: f"{_GREETING_EN}We have closed {_TICKET}. If you need us again, just reply here.",
        CustomerMessageKind.REOPENED: f"{_GREETING_EN}We are back on {_TICKET} and will answer you here.",
    },
    "es": {
        CustomerMessageKind.REMINDER: f"{_GREETING_ES}Estamos esperando su respuesta sobre {_TICKET}. "
        "Responda aquí, por favor, para que podamos continuar.",
        CustomerMessageKind.RESOLVED: f"{_GREETING_ES}Hemos marcado {_TICKET} como resuelto. "
        "Si no lo está, responda aquí y lo abriremos de nuevo.",
        CustomerMessageKind.CLOSED: f"{_GREETING_ES}Hemos cerrado {_TICKET}. Si nos necesita otra vez, responda aquí.",
        CustomerMessageKind.REOPENED: f"{_GREETING_ES}Hemos retomado {_TICKET} y le responderemos aquí.",
    },
    "de": {
        CustomerMessageKind.REMINDER: f"{_GREETING_DE}wir warten auf Ihre Antwort zu {_TICKET}. "
        "Bitte antworten Sie hier, damit es weitergehen kann.",
        CustomerMessageKind.RESOLVED: f"{_GREETING_DE}wir haben {_TICKET} als gelöst vermerkt. "
        "Falls nicht, antworten Sie hier, und wir nehmen es wieder auf.",
        CustomerMessageKind.CLOSED: f"{_GREETING_DE}wir haben {_TICKET} geschlossen. "
        "Wenn Sie uns wieder brauchen, antworten Sie einfach hier.",
        CustomerMessageKind.REOPENED: f"{_GREETING_DE}wir sind wieder an {_TICKET} und antworten Ihnen hier.",
    },
    "fr": {
        CustomerMessageKind.REMINDER: f"{_GREETING_FR}Nous attendons votre réponse au sujet de {_TICKET}. "
        "Merci de répondre ici pour que nous puissions continuer.",
        CustomerMessageKind.RESOLVED: f"{_GREETING_FR}Nous avons marqué {_TICKET} comme résolu. "
        "Si ce n'est pas le cas, répondez ici et nous le rouvrirons.",
        CustomerMessageKind.CLOSED: f"{_GREETING_FR}Nous avons fermé {_TICKET}. "
        "Si vous avez encore besoin de nous, répondez ici.",
        CustomerMessageKind.REOPENED: f"{_GREETING_FR}Nous avons repris {_TICKET} et vous répondrons ici.",
    },
    "pt": {
        CustomerMessageKind.REMINDER: f"{_GREETING_PT}Aguardamos a sua resposta sobre {_TICKET}. "
        "Responda aqui, por favor, para que possamos continuar.",
        CustomerMessageKind.RESOLVED: f"{_GREETING_PT}Marcamos {_TICKET} como resolvido. "
        "Se não estiver, responda aqui e vamos reabri-lo.",
        CustomerMessageKind.CLOSED: f"{_GREETING_PT}Encerramos {_TICKET}. Se precisar de nós de novo, responda aqui.",
        CustomerMessageKind.REOPENED: f"{_GREETING_PT}Retomamos {_TICKET} e vamos responder por aqui.",
    },
}


def language_chain(*wanted: str | None) -> Iterator[str]:
    """The languages to look for words in: each wanted one, then without its region, at last the default one."""
    seen: set[str] = set()
    for tag in (*wanted, DEFAULT_LANGUAGE):
        parts = tag.casefold().split("-") if tag else []
        for length in range(len(parts), 0, -1):
            language = "-".join(parts[:length])
            if language not in seen:
                seen.add(language)
                yield language


def choose_words(kind: CustomerMessageKind, own: Mapping[str, str], *wanted: str | None) -> tuple[str, str, bool]:
    """The template, its language, and whether it is the organization's own.

    ``own`` are the organization's of this kind by language; ``wanted`` the customer's language and the organization's,
    in this order. In each language its own come before the built-in ones.
    """
    for language in language_chain(*wanted):
        if language in own:
            return own[language], language, True
        if language in BUILT_IN:
            return BUILT_IN[language][kind], language, False
    raise AssertionError("the default language has words of every kind")


def is_said(kind: CustomerMessageKind, chosen: Mapping[str, bool]) -> bool:
    """Whether customers are told this at all; ``chosen`` is what the organization says, by kind."""
    return chosen.get(kind.value, ON_BY_DEFAULT[kind])
