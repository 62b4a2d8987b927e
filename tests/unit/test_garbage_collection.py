"""What a program loads at its start is left out of the search for garbage; what comes after is not."""

import subprocess
import sys

from embedded.schema import CHECKOUT


def said(program: str) -> str:
    """What a process of its own prints: the collector is one for a whole process."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_nothing_is_looked_through_while_a_program_is_loaded_and_its_modules_never_are() -> None:
    assert (
        said("""
import gc
from garbage_collection import load
looked = []
gc.callbacks.append(lambda phase, info: looked.append(phase))
email = load("email.mime.multipart")
print(not looked, gc.isenabled(), not any(each is email.MIMEMultipart for each in gc.get_objects()))
""")
        == "True True True"
    )


def test_a_module_that_cannot_be_loaded_leaves_the_collector_at_work() -> None:
    assert (
        said("""
import gc
from garbage_collection import load
try:
    load("no_such_module")
except ModuleNotFoundError:
    print(gc.isenabled())
""")
        == "True"
    )


def test_what_is_made_later_is_still_found() -> None:
    assert (
        said("""
import gc, weakref
from garbage_collection import spare_what_is_loaded
class Knot:
    def __init__(self):
        self.itself = self
old = Knot()
spare_what_is_loaded()
new = Knot()
seen = [weakref.ref(old), weakref.ref(new)]
del old, new
gc.collect()
print([each() is None for each in seen])
""")
        == "[False, True]"
    )
