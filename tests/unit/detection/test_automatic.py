"""Machines that answer for customers are recognized; customers who write about machines are not taken for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.detection.automatic import automatic_reply

NORMAL = "Thanks, that worked."


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"Auto-Submitted": "auto-replied"}, "Auto-Submitted"),
        ({"auto-submitted": "Auto-Generated; owner-email=x"}, "Auto-Submitted"),  # any case, with parameters
        ({"X-Autoreply": "yes"}, "X-Autoreply"),
        ({"X-Autorespond": "vacation"}, "X-Autorespond"),
        ({"Precedence": "auto_reply"}, "Precedence"),
        ({"Precedence": "bulk"}, "Precedence"),
        ({"X-Auto-Response-Suppress": "All", "Subject": "Out of Office: your ticket"}, "X-Auto-Response-Suppress"),
    ],
)
def test_header_is_believed(headers: dict[str, str], reason: str) -> None:
    found = automatic_reply(NORMAL, headers)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"Auto-Submitted": "no"},  # says that a person sent it
        {"Precedence": "first-class"},
        {"X-Autoreply": "no"},
        {"X-Auto-Response-Suppress": "OOF", "Subject": "Re: your ticket"},  # asks not to be auto-replied to
        {"Subject": "Re: automatic renewal"},
    ],
)
def test_other_headers_mean_nothing(headers: dict[str, str] | None) -> None:
    assert automatic_reply(NORMAL, headers) is None


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Automatic reply: Re: your ticket"),
        ("en", "Hello, I am away until 3 March and will answer then."),
        ("en", "I'm on vacation. I will get back to you when I return."),
        ("es", "Estoy de vacaciones hasta el 3 de marzo."),
        ("es", "Gracias por su mensaje. Responderé a mi regreso."),
        ("pt", "Estou de férias até 3 de março."),
        ("pt", "Resposta automática: estou fora"),
        ("fr", "Je suis absent du bureau jusqu'au 3 mars."),
        ("fr", "Merci pour votre message. Je vous répondrai dès mon retour."),
        ("de", "Abwesenheitsnotiz: Ich bin bis 3. März nicht da."),
        ("de", "Vielen Dank für Ihre Nachricht. Ich bin wieder im Büro ab Montag."),
        ("it", "Sono in ferie fino al 3 marzo."),
        ("it", "Risposta automatica: sono fuori"),
        ("nl", "Automatisch antwoord: ik ben er niet"),
        ("nl", "Ik ben op vakantie. Na mijn vakantie lees ik uw bericht."),
        ("pl", "Jestem na urlopie do 3 marca."),
        ("pl", "Dziękuję za wiadomość. Odpowiem po powrocie."),
        ("ru", "Автоматический ответ: я в отъезде"),
        ("ru", "Я в отпуске до 3 марта."),
        ("tr", "3 Mart tarihine kadar izindeyim."),
        ("tr", "Otomatik yanıt: ofiste değilim"),  # noqa: RUF001 (Turkish letters)
        ("zh", "自动回复：我正在休假"),  # noqa: RUF001 (Chinese punctuation)
        ("zh", "感谢您的来信。如有急事请联系同事。"),
        ("ja", "自動返信：ただいま不在です"),  # noqa: RUF001 (Japanese punctuation)
        ("ja", "休暇中です。戻り次第ご連絡します。"),
        ("ar", "رد تلقائي: أنا خارج المكتب"),
        ("ar", "شكرا لرسالتك. سأرد عليك عند عودتي."),
        ("hi", "स्वचालित उत्तर: मैं कार्यालय से बाहर हूं"),
        ("hi", "मैं छुट्टी पर हूं। वापस आने पर उत्तर दूंगा।"),
    ],
)
def test_pattern_is_found(language: str, text: str) -> None:
    found = automatic_reply(text)
    assert found is not None
    assert found.endswith(f"({language})")


@pytest.mark.parametrize(
    "text",
    [
        "I only ever get an automated response from you",  # about machines, by a person
        "Stop sending me that automatic reply",
        "I am on vacation and my card does not work",  # one sign is not enough
        "Your office is closed, is it?",
        "Thank you for your message, the refund came",
        "Mi tarjeta no funciona y estoy de vacaciones",
        "Ich bin im Urlaub und brauche Geld",
        "Je suis en vacances et ma carte est perdue",
        "",
    ],
)
def test_a_persons_message_is_left_alone(text: str) -> None:
    assert automatic_reply(text) is None


@given(st.text(max_size=300), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
def test_any_text_and_headers_are_read(text: str, headers: dict[str, str]) -> None:
    reason = automatic_reply(text, headers)
    assert reason is None or reason
