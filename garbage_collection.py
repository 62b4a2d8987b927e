"""Python's search for garbage, kept from what a process loads at its start and keeps until its end.

There are 300,000 such objects in the API. Left to itself the collector looks through all of them again every few
seconds, and nothing else happens for a quarter of a second or more; it is a fifth of a start as well.
"""

import gc
from importlib import import_module
from types import ModuleType

_NEW_OBJECTS = 10_000
"""How many more objects have been made than let go before the collector looks at the new ones; 700 by default, which
are no more than those of a few requests under way.
"""


def load(module: str) -> ModuleType:
    """Import a program's module, with all that it imports, without looking for garbage in between or in it later."""
    gc.disable()
    try:
        return import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def spare_what_is_loaded() -> None:
    """Leave whatever there is now out of every later search."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
