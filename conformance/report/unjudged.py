"""What a report says nothing about: the options that were not declared, or that a probe did not take for declared."""

from __future__ import annotations

from conformance.facts import Outcome, Undeclared
from conformance.report import english
from conformance.report.model import BackendReport


def unjudged(backend: BackendReport) -> str:
    """One line that names all that no property judged, each with its reason: "dropout (undeclared), …", or nothing."""
    probed = {each.option: english.sentence(each.fact).splitlines()[0] for each in backend.not_judged}
    facts = [verdict.fact for verdict in backend.verdicts if verdict.outcome == Outcome.NOT_DECLARED]
    words = dict.fromkeys(word for fact in facts if isinstance(fact, Undeclared) for word in fact.words)
    reasons: dict[str, list[str]] = {}
    # That every option is declared is nothing that was not judged.
    for word in dict.fromkeys([*words, *probed]):
        if word != "undeclared":
            reasons.setdefault(probed.get(word) or english.undeclared(word), []).append(word)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
