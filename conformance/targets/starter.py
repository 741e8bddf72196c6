"""A backend for lstm-conformance: the adapter between the suite and your LSTM. Replace the middle by your own code.

    lstm-conformance run THIS_FILE.py:my_lstm

As it stands it runs, and fails: it takes the gates in another order than they come in. Run it, read what the suite
says, and mend the one line.
"""

import numpy as np

from conformance import Capabilities, Unsupported, backend, guard


# Declare what your LSTM can do: nothing else is asked of it, and nothing undeclared counts as passed. Plain
# Capabilities() is one layer, one direction, biases, time-major batches, an initial state, float32. Others are layers,
# bidirectional, no_bias, batch_first, unbatched, projection, lengths …; `lstm-conformance probe` finds what works.
@backend("my-lstm", Capabilities(dtypes=("float32", "float64")))
def my_lstm(config, params):
    """Build a model. ``config`` has nn.LSTM's constructor arguments, ``params`` its state_dict as NumPy arrays."""
    if config.num_layers > 1 or config.bidirectional or config.batch_first or config.proj_size or not config.bias:
        raise Unsupported("one layer, one direction, time-major, with biases")  # never ignore an option silently
    if config.dropout:
        raise Unsupported("no dropout")

    # Convert the parameters to whatever your code wants: copy, never change them. Rows are packed i, f, g, o;
    # `conformance.reorder(array, "iofg")` puts them into another order.
    w_x = params["weight_ih_l0"].T.copy()  # (I, 4H)
    w_h = params["weight_hh_l0"].T.copy()  # (H, 4H)
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]  # (4H,)

    def forward(x, state=None):
        """x (L, N, I); state (h_0 (1, N, H), c_0 (1, N, H)) or None for zeros -> output (L, N, H), (h_n, c_n)."""
        guard(config, x, state)  # raises what nn.LSTM would raise
        if x.ndim == 2:
            raise Unsupported("no x without N")
        shape = (1, x.shape[1], config.hidden_size)
        h_0, c_0 = (np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)) if state is None else state

        h, c = h_0[0], c_0[0]
        output = []
        for x_t in x:
            a = x_t @ w_x + h @ w_h + bias
            i, o, f, g = np.split(a, 4, axis=1)  # the mistake: rows come as i, f, g, o
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            output.append(h)
        return np.stack(output), (h[None].copy(), c[None].copy())

    return forward


def sigmoid(a):
    """1 / (1 + e^−a), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)
