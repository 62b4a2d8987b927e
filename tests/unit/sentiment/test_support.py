"""Anger is told from topics, only in the language the scorer knows, and any text can be scored."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.sentiment.scorer import NEGATIVE_AT, POSITIVE_AT, Label, SentimentScorer, label_of
from domain.sentiment.support import MAX_READ, builtin_scorer


@pytest.mark.parametrize(
    "text",
    [
        "I want to cancel my order",  # topics
        "my luggage is lost",
        "there is a problem with my payment, the transfer failed",
        "please stop the fraudulent charge, my card was stolen",
        "I was charged twice, can you help me?",
        "Thanks, how do I reset my password?",  # manners
        "Which one is the best?",
        "my parcel is on its way, when will it be here?",
        "I have an appointment in two hours, where is your shop?",
        "",
    ],
)
def test_topics_and_manners_are_neutral(text: str) -> None:
    assert label_of(builtin_scorer().score(text)) is Label.NEUTRAL


@pytest.mark.parametrize(
    "text",
    [
        "this is unacceptable",
        "ridiculous!! I am still waiting",
        "third time I write to you about this",
        "your service is useless",
        "I am not happy with this product",
        "thanks for nothing",  # sarcasm
        "oh great, another delay",
        "wtf is wrong with you people",
        "cancel my fucking order",  # a topic, angrily
        "you never deliver on time",
        "I have been on the phone for three hours and nobody knows anything",
        "how dare you charge me twice",
        "zero stars",  # no word of it feels anything
    ],
)
def test_anger_is_negative(text: str) -> None:
    assert label_of(builtin_scorer().score(text)) is Label.NEGATIVE


@pytest.mark.parametrize("text", ["Great app, I love it", "thank you so much, you are awesome", "Excellent service!"])
def test_praise_is_positive(text: str) -> None:
    assert label_of(builtin_scorer().score(text)) is Label.POSITIVE


@pytest.mark.parametrize(
    "text",
    [
        "Esto es horrible, quiero mi dinero",
        "Das ist eine Katastrophe und ich bin sehr enttäuscht",
        "это ужасно",
        "最悪です",
        "qwrtz plk",  # nothing to go by
    ],
)
def test_an_unknown_language_has_no_score(text: str) -> None:
    assert builtin_scorer().score(text) is None


def test_labels_begin_at_their_thresholds() -> None:
    assert label_of(NEGATIVE_AT) is Label.NEGATIVE
    assert label_of(NEGATIVE_AT + 0.01) is Label.NEUTRAL
    assert label_of(POSITIVE_AT - 0.01) is Label.NEUTRAL
    assert label_of(POSITIVE_AT) is Label.POSITIVE
    assert label_of(None) is Label.NEUTRAL


def test_another_scorer_can_take_its_place() -> None:
    class Calm:
        def score(self, text: str) -> float | None:
            return 0.0 if text else None

    calm: SentimentScorer = Calm()
    builtin: SentimentScorer = builtin_scorer()
    text = "you are useless and rude"
    assert [label_of(scorer.score(text)) for scorer in (calm, builtin)] == [Label.NEUTRAL, Label.NEGATIVE]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_scores_within_bounds(text: str) -> None:
    score = builtin_scorer().score(text)
    assert score is None or -1 <= score <= 1


def test_a_long_message_costs_no_more_than_what_is_read_of_it() -> None:
    began = time.process_time()
    builtin_scorer().score("this is not good and " * (20_000 // 21))
    assert time.process_time() - began < 0.2
    assert MAX_READ < 20_000
