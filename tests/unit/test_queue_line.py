from datetime import timedelta

import pytest

from domain.queue_line import expected_wait, queue_line

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("position", "wait", "owner", "line"),
    [
        (1, None, None, "You are next. Somebody will be with you soon."),
        (3, 5 * MINUTE, None, "You are number 3 in the queue. It will take about 5 minutes."),
        (1, timedelta(seconds=20), None, "You are next. It will take about 1 minute."),
        (9, timedelta(hours=4), None, "You are number 9 in the queue. It will take about 4 hours."),
        (None, None, "Ana", "Ana is with you."),
        (None, None, None, "Somebody will be with you soon."),
    ],
)
def test_the_customer_is_told_what_is_known(
    position: int | None, wait: timedelta | None, owner: str | None, line: str
) -> None:
    assert queue_line(position, wait, owner) == line


def test_the_wait_grows_with_the_place_in_the_queue() -> None:
    assert expected_wait(1, 4 * MINUTE) == 4 * MINUTE
    assert expected_wait(5, 4 * MINUTE) == 8 * MINUTE
    assert expected_wait(5, None) is None
