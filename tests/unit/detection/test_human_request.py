"""Who asks for a person is found in any language, shown where, and never at the cost of a crash or of time."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.score import hostile_messages
from domain.detection.human_request import THRESHOLD, HumanRequestDetector, builtin_detector
from domain.detection.language import InvalidTable
from tests.unit.detection.messages import NOT_REQUESTS, REQUESTS


@pytest.mark.parametrize(
    "text",
    [
        "No, I want a human",  # the negator answers something else
        "no i want a human",  # the same without its comma
        "can't reach an agent",  # who cannot reach one wants one
        "I don't know how to talk to an agent",  # the negator belongs to "know"
        "I don't want a bot",  # refusing the bot
        "why can't I talk to a person?",  # a question that is a demand
        "is there a human I can talk to?",
        "agent!",  # the bare noun
        "HUMAN",
        "customer service",
        "operator please",
        "call me back",  # a callback is a person too
        "call me at 5 pm",
        "please have someone call me",
        "I told you I want a person",  # the customer's own words are no report
        "this is not working I want to talk to a human",  # the negator belongs to another statement
        "Hi. My order never came and nothing here helps. Agent please.",  # the bare noun as its own sentence
        "ｉ want a ＨＵＭＡＮ",  # noqa: RUF001 (full-width letters are what is tested)
        "i want to speek to an agnet",  # misspelt
        "agenttttt",  # shouted
        "let me speak with your supervisor, this is the third time",
    ],
)
def test_request_is_found(text: str) -> None:
    assert builtin_detector().detect(text).requested


@pytest.mark.parametrize(
    "text",
    [
        "call me Anna",  # a name, not a number
        "transfer to another account",  # money
        "table for four",
        "a table for four people",  # people who are counted
        "travel agent",  # another sense
        "I'm an insurance agent",
        "I don't want a human",  # refused
        "please do not connect me to anyone",
        "no need for a human",
        "the agent said it would ship today",  # reported
        "I spoke with an agent yesterday",  # it has happened
        "are you human?",  # identity
        "am I talking to a real person?",
        "what time can I call customer service?",  # hours, not a person
        "what is the customer service number",
        "someone stole my card",
        "can I transfer money to someone else?",
        "I am not a robot",
        "urgent",  # one letter from "agent", and a word of its own
        "I want a contract",
        "",
        "?!",
    ],
)
def test_what_only_looks_like_a_request_is_not(text: str) -> None:
    assert not builtin_detector().detect(text).requested


@pytest.mark.parametrize(("language", "text"), [(code, text) for code, texts in REQUESTS.items() for text in texts])
def test_request_is_found_in_every_language(language: str, text: str) -> None:
    found = builtin_detector().detect(text)
    assert found.score >= THRESHOLD
    assert found.span is not None


@pytest.mark.parametrize(("language", "text"), [(code, text) for code, texts in NOT_REQUESTS.items() for text in texts])
def test_no_request_is_seen_in_any_language(language: str, text: str) -> None:
    assert not builtin_detector().detect(text).requested


def test_fourteen_languages_come_with_it() -> None:
    codes = {table.code for table in builtin_detector().lexicon.languages}
    wanted = {"en", "es", "pt", "fr", "de", "it", "nl", "pl", "ru", "tr", "zh", "ja", "ar", "hi"}
    assert codes == set(REQUESTS) == set(NOT_REQUESTS) == wanted


@pytest.mark.parametrize(
    ("text", "pointed_at", "language"),
    [
        ("My parcel is late. I want to talk to a human, now.", "want to talk to a human", "en"),
        ("Mi pedido no llega 😡 quiero hablar con un agente", "quiero hablar con un agente", "es"),
        ("Ｈｉ！ ｇｅｔ　me an agent", "ｇｅｔ　me an agent", "en"),  # noqa: RUF001 (full-width letters are what is tested)
        ("我的包裹没到。请转人工客服", "转人工客服", "zh"),
        ("cafe\u0301 ferme\u0301, je veux parler a\u0300 un conseiller!", "veux parler a\u0300 un conseiller", "fr"),
    ],
)
def test_span_points_into_the_original_text(text: str, pointed_at: str, language: str) -> None:
    found = builtin_detector().detect(text)
    assert found.span is not None
    assert text[slice(*found.span)] == pointed_at
    assert found.language == language
    assert found.reason == f"{found.pattern} ({language})"


def test_no_sign_of_a_request_gives_no_reason() -> None:
    found = builtin_detector().detect("where is my parcel")
    assert (found.score, found.span, found.reason) == (0.0, None, None)


def test_misspelling_makes_a_request_less_certain() -> None:
    detector = builtin_detector()
    assert THRESHOLD <= detector.detect("I need an operatr").score < detector.detect("I need an operator").score


def test_a_call_for_someone_to_help_is_left_to_a_second_opinion() -> None:
    found = builtin_detector().detect("can someone help me")
    assert found.unsure
    assert not found.requested


def test_operator_adds_words_and_languages(tmp_path: Path) -> None:
    plain = builtin_detector()
    assert not plain.detect("get me a wizard").requested
    assert not plain.detect("jag vill prata med en handläggare").requested
    (tmp_path / "ours.toml").write_text('code = "en"\n[words]\nstaff = "wizard, wizards"\n', encoding="utf-8")
    (tmp_path / "sv.toml").write_text(
        'code = "sv"\nname = "Swedish"\n[endings]\nn = "- n"\n'
        '[words]\nstaff = "handläggare/n"\ncontact = "prata"\nskip = "jag, vill, med, en"\n',
        encoding="utf-8",
    )
    extended = HumanRequestDetector.reading(tmp_path)
    assert extended.detect("get me a wizard").requested
    assert extended.detect("jag vill prata med en handlaggare").language == "sv"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('name = "No code"', "needs a code"),
        ('code = "xx"\nspeed = 3', "no option 'speed'"),
        ('code = "xx"\n[words]\nwizards = "merlin"', "no role 'wizards'"),
        ('code = "xx"\n[words]\nstaff = "merlin/q"', "no known endings"),
    ],
)
def test_a_broken_table_says_what_is_wrong(tmp_path: Path, table: str, complaint: str) -> None:
    (tmp_path / "broken.toml").write_text(table, encoding="utf-8")
    with pytest.raises(InvalidTable, match=complaint):
        HumanRequestDetector.reading(tmp_path)


_WORDS = "i want talk to a human not agent bot call me no 客服 我要 人 إنسان أريد оператор नहीं एजेंट ' . , ? \u200d"
_ANY_WORDS = st.lists(st.sampled_from(_WORDS.split(" "))).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=400), _ANY_WORDS))
def test_any_text_is_read_and_its_span_lies_within(text: str) -> None:
    found = builtin_detector().detect(text)
    assert 0 <= found.score <= 1
    if found.span is not None:
        start, end = found.span
        assert 0 <= start < end <= len(text)


@pytest.mark.parametrize("name", hostile_messages())
def test_hostile_text_costs_little(name: str) -> None:
    text = hostile_messages()[name]
    detector = builtin_detector()
    # Processor time, for a busy machine; the target is 20 ms.
    assert min(_processor_seconds(detector, text) for _ in range(3)) < 0.06


def test_an_ordinary_message_costs_a_fraction_of_a_millisecond() -> None:
    texts = [text for texts in (*REQUESTS.values(), *NOT_REQUESTS.values()) for text in texts]
    detector = builtin_detector()
    taken = sorted(_processor_seconds(detector, text) for text in texts)
    assert taken[len(taken) // 2] < 0.001


def _processor_seconds(detector: HumanRequestDetector, text: str) -> float:
    began = time.process_time()
    detector.detect(text)
    return time.process_time() - began
