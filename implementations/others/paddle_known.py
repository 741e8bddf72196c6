"""What is known to fail in Paddle's layer and cell."""

from __future__ import annotations

from implementations.adapter import STATES_BROADCAST, finding

GRADIENTS = ("weights", "dyadic", "long", "untapped", "large", "equal-sizes")
NAN = ("nan-kept", "nan-state", "nan-weight", "infinite-state")
#: What fails in paddle.nn.LSTM.
KNOWN = {
    **finding("paddle-04-no-steps-crash", "degenerate.no-steps", "degenerate.then-right"),
    **finding("paddle-06-dropout-in-float32", "dropout.elements"),
    **finding("paddle-07-two-threads-crash", "gradients.threads", "dropout.threads"),
    **finding("paddle-08-nan-padding", "lengths.padding", "gradients.padding", *(f"nonfinite.{name}" for name in NAN)),
    **finding("paddle-09-reverse-gradient", *(f"gradients.{name}" for name in GRADIENTS)),
    **finding("paddle-09-reverse-gradient", "dropout.everything-gradients", "dropout.gradients"),
    **finding("paddle-10-one-dropout-mask", "dropout.independence"),
    **finding("paddle-11-no-rows-crash", "degenerate.no-rows", "gradients.no-rows"),
    **finding("paddle-12-cotangent-shape", "refusals.cotangents"),
    **finding("paddle-14-lengths-beyond-the-end", "refusals.lengths"),
}
#: What fails in paddle.nn.LSTMCell.
KNOWN_OF_CELL = finding("paddle-13-states-unchecked", *STATES_BROADCAST)
