"""Keywords are whole words and phrases in any script, and the index finds what looking for each one finds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.rules.keywords import KeywordIndex, find_naively


@pytest.mark.parametrize(
    ("keyword", "text", "matched"),
    [
        ("refund", "Give me a REFUND!", "REFUND"),
        ("money back", "I want my money  back", "money  back"),
        ("money back", "my money-back guarantee", "money-back"),
        ("don't", "I don’t care", "don’t"),  # noqa: RUF001 (the apostrophe that phones write)
        ("devolución", "quiero una devolucion", "devolucion"),  # accents make no difference
        ("devolucion", "quiero una DEVOLUCIÓN", "DEVOLUCIÓN"),
        ("straße", "In der STRASSE", "STRASSE"),
        ("возврат", "Хочу ВОЗВРАТ денег", "ВОЗВРАТ"),  # noqa: RUF001 (Russian)
        ("वापसी", "मुझे वापसी चाहिए", "वापसी"),
        ("استرداد", "أريد استرداد المال", "استرداد"),
        ("退款", "我想要退款谢谢", "退款"),  # no spaces: anywhere
        ("返金", "返金してください", "返金"),
        ("C++", "the C++ sdk crashes", "C++"),
        ("$100", "you owe me $100.", "$100"),
        ("24/7", "open 24/7?", "24/7"),
        (":(", "no answer :(", ":("),
        ("404", "error 404", "404"),
        ("refund", "ｒｅｆｕｎｄ please", "ｒｅｆｕｎｄ"),  # noqa: RUF001 (full-width letters)
    ],
)
def test_keyword_is_found_where_it_stands(keyword: str, text: str, matched: str) -> None:
    found = KeywordIndex([keyword]).find(text)
    assert text[slice(*found[0])] == matched


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("refund", "refunded"),  # part of a longer word
        ("art", "start the cart"),
        ("money back", "money, back it up"),  # parted by a comma
        ("money back", "back money"),
        ("money back", "money"),
        ("C++", "abc++"),  # part of a longer word
        ("$100", "$1000"),  # part of a longer number
        ("c", "C++ is C"[:3] + "x"),
        ("refund", ""),
    ],
)
def test_parts_of_words_are_not_found(keyword: str, text: str) -> None:
    assert KeywordIndex([keyword]).find(text) == ({} if keyword != "c" else {0: (0, 1)})


_PIECES = [
    "refund",
    "money",
    "back",
    "C++",
    "c",
    "$100",
    "100",
    "退款",
    "我",
    "é",
    "E\u0301",
    "don't",
    ":(",
    "-",
    ",",
    " ",
    "ß",
]
_keyword = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map(" ".join)
_text = st.one_of(st.lists(st.sampled_from([*_PIECES, " ", " "]), max_size=14).map("".join), st.text(max_size=40))


@settings(max_examples=150, deadline=None)
@given(st.lists(_keyword, max_size=6, unique=True), _text)
def test_index_agrees_with_looking_for_each_keyword(keywords: list[str], text: str) -> None:
    found = KeywordIndex(keywords).find(text)
    naively = {
        place: span for place, keyword in enumerate(keywords) if (span := next(find_naively(keyword, text), None))
    }
    assert found == naively


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_places_lie_within_the_text(text: str) -> None:
    for span in KeywordIndex(["a", "1", "!", "人", "é"]).find(text).values():
        assert 0 <= span.start < span.end <= len(text)
