import pytest

from domain.errors import InvalidTemplate
from domain.events import CustomerMessageKind
from domain.message_template import MAX_TEMPLATE, Values, check_template, render_template
from domain.wording import BUILT_IN, choose_words, is_said, language_chain

VALUES: Values = {
    "ticket": {"number": 7, "title": "Where is it?"},
    "customer": {"name": ""},
    "agent": {"name": "Ana"},
    "organization": {"name": "Desk"},
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello {{ agent.name }}", "Hello Ana"),
        ("{% if customer.name %}Dear {{ customer.name }}{% else %}Hello{% endif %}, #{{ ticket.number }}", "Hello, #7"),
        ("{{ customer.name or 'Customer' }}: {{ ticket.title | upper }}", "Customer: WHERE IS IT?"),
        ("{{ customer.name | default('you', true) }}", "you"),
        ("{{ 'seven' if ticket.number == 7 else 'other' }}", "seven"),
        ("{% if not customer.name and agent.name != 'Ben' %}\nOne\n{% endif %}\nTwo", "One\nTwo"),
        ("<b>{{ ticket.title }}</b>", "<b>Where is it?</b>"),
    ],
)
def test_a_template_says_what_is_in_it(source: str, text: str) -> None:
    check_template(source)
    assert render_template(source, VALUES) == text


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("One\n{{ ticket.titel }}", 2, "there is no ticket.titel"),
        ("One\nTwo\n{% if ticket.title %}", 3, "Unexpected end of template"),
        ("{{ ticket.title", 1, "unexpected end of template"),
        ("Hello {{ secret }}", 1, "there is no secret"),
        ("{{ ticket.__class__ }}", 1, "there is no ticket.__class__"),
        ("{{ ticket.title.__class__.__mro__ }}", 1, "there is no"),
        ("{{ ticket['title'] }}", 1, "getitem is not possible"),
        ("\n{% for i in range(1000000000) %}x{% endfor %}", 2, "is not possible"),
        ("{{ 'x' * 1000000000 }}", 1, "mul is not possible"),
        ("{{ 9 ** 9 ** 9 }}", 1, "pow is not possible"),
        ("{{ ticket.title.upper() }}", 1, "is not possible"),
        ("{{ ticket.title | attr('x') }}", 1, "no filter attr"),
        ("{{ '%2000000000d' | format(1) }}", 1, "no filter format"),
        ("{{ ticket.title | center(1000000000) }}", 1, "no filter center"),
        ("{% set x = 1 %}x", 1, "is not possible"),
        ("{% macro m() %}x{% endmacro %}x", 1, "is not possible"),
        ("{% include 'x' %}", 1, "is not possible"),
        ("{{ self }}", 1, "there is no self"),
        ("{{ [1, 2] }}", 1, "is not possible"),
        ("{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}", 1, "too deep"),
        ("{{ " + "not " * 30 + "1 }}", 1, "too deep"),
        ("{% if agent.name %}" * 25 + "x" + "{% endif %}" * 25, 1, "too deep"),
        ("{{ customer.name }}", 1, "Nothing is left to say"),
        ("   ", 1, "Nothing is left to say"),
        ("{{ ticket.title }}" * 100, 1, "more than 10000 characters"),
        ("x" * (MAX_TEMPLATE + 1), 1, "at most 5000 characters"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(source: str, line: int, why: str) -> None:
    with pytest.raises(InvalidTemplate, match=why) as caught:
        check_template(source)
    assert caught.value.context["line"] == line


@pytest.mark.parametrize("language", BUILT_IN)
@pytest.mark.parametrize("kind", CustomerMessageKind)
def test_every_language_has_words_of_every_kind_with_and_without_a_name(
    language: str, kind: CustomerMessageKind
) -> None:
    source = BUILT_IN[language][kind]
    check_template(source)
    for name in ("", "Sam"):
        text = render_template(source, {**VALUES, "customer": {"name": name}})
        assert "“Where is it?” (#7)" in text
        assert ("Sam" in text) == bool(name)
        assert text[0].isupper()


@pytest.mark.parametrize(
    ("wanted", "chain"),
    [
        (("pt-BR", "es"), ["pt-br", "pt", "es", "en"]),
        ((None, "en"), ["en"]),
        (("es-MX", "es"), ["es-mx", "es", "en"]),
        ((None, None), ["en"]),
    ],
)
def test_languages_are_looked_for_from_the_nearest_on(wanted: tuple[str | None, ...], chain: list[str]) -> None:
    assert list(language_chain(*wanted)) == chain


def test_own_words_come_before_built_in_ones_of_the_same_language_only() -> None:
    kind = CustomerMessageKind.RESOLVED
    own = {"es": "Propio", "nl": "Eigen"}
    assert choose_words(kind, own, "es-MX", "en") == ("Propio", "es", True)
    assert choose_words(kind, own, "pt-BR", "nl") == (BUILT_IN["pt"][kind], "pt", False)
    assert choose_words(kind, own, "fi", "nl") == ("Eigen", "nl", True)
    assert choose_words(kind, own, "fi", "sv") == (BUILT_IN["en"][kind], "en", False)


def test_each_kind_can_be_turned_off_and_on() -> None:
    assert [is_said(kind, {}) for kind in CustomerMessageKind] == [True, True, False, False]
    assert not is_said(CustomerMessageKind.RESOLVED, {"resolved": False})
    assert is_said(CustomerMessageKind.CLOSED, {"closed": True})
