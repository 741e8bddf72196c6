"""Each gradient by itself: taps make the adjoints visible, and each is judged on the ones that came before it."""

from __future__ import annotations

from conformance.properties.gradients.shared import (
    FORCED,
    LOSSES,
    LOSSES_IN_TURN,
    cut,
    drawn,
    gradient_prop,
    small_findings,
)
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


def _require(trial: Trial, *tensors: str) -> None:
    """Some tensors must be right under the loss whose turn it is."""
    small, findings = small_findings(trial, trial.in_turn(LOSSES_IN_TURN))
    small.require([finding for finding in findings if finding.tensor.startswith(tensors)], small.case)


def _alone(trial: Trial, loss: str, *others: str) -> None:
    """A loss on one part must be right, unless one on another part is wrong as well: then the part does not matter."""
    small, findings = small_findings(trial, loss)
    comparable = [other for other in others if other in trial.backend.capabilities.returns][:1]
    if not right(findings) and any(not right(small_findings(trial, other)[1]) for other in comparable):
        raise Discard
    small.require(findings, small.case)


@gradient_prop("gradients.layout", needs=("gradients",), turns=LOSSES)
def layout(trial: Trial) -> None:
    """vjp returns the results, and each gradient that is declared, shaped and typed like its argument or parameter.

    keras PR7387 lost an axis at L=1. A gradient in another layout than its argument is added to it without an error
    where sizes happen to agree.
    """
    small = cut(trial)
    small.vjp(small.case, drawn(small))


@gradient_prop("gradients.primal", needs=FORCED, turns=LOSSES)
def primal(trial: Trial) -> None:
    """The results that vjp returns are right: the oracle's, within the bound.

    oneDNN computes forward passes with and without gradients by different kernels, and both have to be right.
    """
    _require(trial, "output", "h_n", "c_n")


@gradient_prop("gradients.preactivations", needs=(*FORCED, "grad_x"), turns=LOSSES)
def preactivations(trial: Trial) -> None:
    """The adjoint of every gate's preactivation, at every step, layer and direction, follows from the one after it.

    mxnet#17898: with more than two layers one gradient overwrote another; mlpack PR1742 did not add the reverse one.
    """
    _require(trial, "grad preactivations")


@gradient_prop("gradients.input", needs=(*FORCED, "grad_x"), turns=LOSSES)
def input(trial: Trial) -> None:
    """The gradient of x is W_ihᵀ times the adjoints of the preactivations, summed over both directions.

    mlpack PR1742: the reverse direction's part was not added.
    """
    _require(trial, "grad x")


@gradient_prop("gradients.state", needs=(*FORCED, "initial_state", "grad_h_0", "grad_c_0"), turns=LOSSES)
def state(trial: Trial) -> None:
    """The gradients of h_0 and c_0 are those of each layer's, direction's and row's own initial state.

    Truncated back-propagation and learnt initial states need them. opencv#21118 took one layer's state for all.
    """
    _require(trial, "grad h_0", "grad c_0")


@gradient_prop("gradients.weights", needs=(*FORCED, "grad_params"), turns=LOSSES)
def weights(trial: Trial) -> None:
    """The gradient of each weight, ih, hh and hr, is the sum over steps and rows of adjoint times input.

    mxnet#17898 is right with two layers and wrong with three.
    """
    _require(trial, "grad weight")


@gradient_prop("gradients.biases", needs=(*FORCED, "grad_params"), when=lambda r: r.bias, turns=LOSSES)
def biases(trial: Trial) -> None:
    """Both biases receive the same gradient, the sum of the adjoints over steps and rows.

    mxnet PR17872: zero bias gradients with more than one layer.
    """
    _require(trial, "grad bias")


@gradient_prop("gradients.h_n-loss", needs=(*FORCED, "h_n"))
def h_n_loss(trial: Trial) -> None:
    """A loss on h_n alone reaches every gradient that is declared.

    pytorch#96416: the gradients were wrong if the loss used h_n only.
    """
    _alone(trial, "h_n", "output")


@gradient_prop("gradients.c_n-loss", needs=(*FORCED, "c_n"))
def c_n_loss(trial: Trial) -> None:
    """A loss on c_n alone reaches every gradient that is declared.

    DL4J#8838 dropped dL/dc_n.
    """
    _alone(trial, "c_n", "output")


@gradient_prop("gradients.output-loss", needs=FORCED)
def output_loss(trial: Trial) -> None:
    """A loss on the output alone reaches every gradient that is declared.

    mxnet#17898: the gradient of the output was overwritten before it was used.
    """
    _alone(trial, "output", "h_n", "c_n")
