"""Smoke: does the adapter work at all? If not, nothing else is run."""

from conformance.properties.model import prop
from conformance.trials.trial import Trial


@prop("smoke.runs", every=1)
def runs(trial: Trial) -> None:
    """The backend builds a model and a call returns ``output, (h_n, c_n)`` as NumPy arrays.

    Failing it means that the adapter is broken, not that the LSTM is wrong; every other property would fail for the
    same reason, so none is run.
    """
    trial.call(trial.case)
