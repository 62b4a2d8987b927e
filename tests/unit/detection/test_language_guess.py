"""The language of a message is guessed from its script and its small words."""

import pytest

from domain.detection.language_guess import guess_language
from tests.unit.detection.messages import REQUESTS


@pytest.mark.parametrize(("language", "text"), [(code, max(texts, key=len)) for code, texts in REQUESTS.items()])
def test_language_is_guessed(language: str, text: str) -> None:
    assert guess_language(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345 !!!",
        "xyzzy plugh",  # no table knows it
        "Θέλω να μιλήσω με κάποιον",  # noqa: RUF001 (Greek, a script that none of ours uses)
        "안녕하세요",
    ],
)
def test_an_unknown_language_is_not_guessed(text: str) -> None:
    assert guess_language(text) is None
