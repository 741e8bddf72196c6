"""The parts of a remedy: lines of code by the place where they belong."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.diagnosis.scopes import PLACES, Scope

#: The first line of each part of a remedy's text.
BUILD = "# in build, before the model is made:"
BEFORE = "# in forward, before the call:"
AFTER = "# in forward, after the call:"
OWN = "# in your own code"


@dataclass(frozen=True)
class Remedy:
    """Lines of Python by the place where they belong, empty where nothing is needed.

    ``build`` sees config and params; ``before`` sees config, x, state and lengths too, and ``after`` output, h_n and
    c_n besides, all in the caller's layout. Each changes them by assignment; np and reorder are imported.
    """

    build: str = ""
    before: str = ""
    after: str = ""
    #: Not to be added anywhere, but to stand in the author's own loop.
    own: str = ""
    #: The places of a stack in which ``own`` matters, in words.
    where: str = ""

    def __str__(self) -> str:
        own = f"{OWN}{f', {self.where}' if self.where else ''}:"
        parts = ((BUILD, self.build), (BEFORE, self.before), (AFTER, self.after), (own, self.own))
        return "\n".join(f"{title}\n{code}" for title, code in parts if code)


def where(scope: Scope) -> str:
    """The places of a stack that a scope names, in words."""
    words = {name: name.replace("-", " ") for name in PLACES}
    words |= {"forward": "forward direction", "reverse": "reverse direction"}
    return ", ".join(words[name] for name in scope if name in PLACES)
