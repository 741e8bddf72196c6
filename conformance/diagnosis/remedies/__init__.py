"""The fix as code: what makes up for an alteration, in the terms of the contract.

A remedy is code for one or more places. In ``build``, the parameters are read otherwise before the model is made of
them. In ``forward``, arguments are changed before the call, or results after it. Where nothing around an LSTM helps, it
is the right lines of its author's own loop (``own_code``).
"""

from __future__ import annotations

from dataclasses import replace
from textwrap import indent

from conformance.diagnosis.occasions import OCCASIONS
from conformance.diagnosis.own_code import own_code
from conformance.diagnosis.remedies.calls import of_calls, of_results, of_state
from conformance.diagnosis.remedies.parameters import of_biases, of_halves, of_params, of_scaled
from conformance.diagnosis.remedies.parts import AFTER, BEFORE, BUILD, OWN, Remedy, where
from conformance.facts import Alteration


def remedy(alteration: Alteration) -> str:
    """Code that makes up for an alteration, each part under a comment that says where it belongs, or nothing."""
    return str(remedy_of(alteration))


def remedy_of(alteration: Alteration) -> Remedy:
    """The parts of a remedy, all empty if there is none."""
    fault, scope = alteration.fault, alteration.scope
    if occasions := [name for name in scope if name in OCCASIONS]:
        plain = Alteration(fault, tuple(name for name in scope if name not in OCCASIONS))
        return _on_occasion(remedy_of(plain), occasions)
    for around in (of_params, of_biases, of_scaled, of_state, of_results, of_calls, of_halves):
        found = around(fault, scope)
        if found is not None:
            return found
    own = own_code(fault)
    return Remedy(own=own, where=where(scope)) if own else Remedy()


def _on_occasion(whole: Remedy, names: list[str]) -> Remedy:
    """A remedy that is to be used with some options only; nothing for parameters that a call's arguments decide."""
    occasions = [OCCASIONS[name] for name in names]
    if whole.build and not all(one.of_config for one in occasions):
        return Remedy()
    # Conditions are told beforehand, since the code itself may change what they are about.
    test = " and ".join(one.code for one in occasions)
    own = replace(whole, where=", ".join(filter(None, [whole.where, " and ".join(names).replace("-", " ")])))
    if whole.own:
        return own
    built = f"if {test}:\n{indent(whole.build, '    ')}" if whole.build else ""
    before = f"so = {test}\nif so:\n{indent(whole.before, '    ')}" if whole.before else ""
    after = f"if {'so' if before else test}:\n{indent(whole.after, '    ')}" if whole.after else ""
    return Remedy(built, before, after)


__all__ = ["AFTER", "BEFORE", "BUILD", "OWN", "Remedy", "remedy", "remedy_of"]
