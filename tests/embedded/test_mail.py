import smtplib
import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import httpx

from embedded.ports import LOOPBACK, free_port
from tests.embedded.runs import CHECKOUT
from tests.support import eventually_sync


def test_mail_is_caught_and_can_be_read_as_a_list_a_page_and_files(tmp_path: Path) -> None:
    smtp, page = free_port(), free_port()
    command = [sys.executable, "-m", "embedded.mail", str(smtp), str(page), str(tmp_path / "mail")]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://{LOOPBACK}:{page}", trust_env=False) as client:

            def is_up() -> bool:
                assert process.poll() is None
                try:
                    return bool(client.get("/mails").json() == [])
                except httpx.TransportError:
                    return False

            eventually_sync(is_up, 60)
            for number in range(2):
                mail = EmailMessage()
                mail["From"], mail["To"] = "baton@example.com", "ada@example.com"
                mail["Subject"] = f"<b>Number {number}</b>"
                mail.set_content("What it says.")
                with smtplib.SMTP(LOOPBACK, smtp) as server:
                    server.send_message(mail)
            listed = client.get("/mails").json()
            assert [each["subject"] for each in listed] == ["<b>Number 1</b>", "<b>Number 0</b>"]
            shown = client.get("/").text
            assert ("&lt;b&gt;Number 1" in shown, "<b>" in shown) == (True, False)
            read = client.get(f"/mails/{listed[0]['name']}")
            assert ("What it says." in read.text, read.headers["content-type"]) == (True, "text/plain; charset=utf-8")
            assert client.get("/mails/..%2Fsettings.env").status_code == 404
        files = sorted((tmp_path / "mail").glob("*.eml"))
        assert len(files) == 2
    finally:
        process.terminate()
        assert process.wait(10) == 0
