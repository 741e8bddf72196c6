"""Refusals: an LSTM raises an error for a call that makes no sense, instead of returning numbers.

``inputs.py`` is about x, ``states.py`` about h_0 and c_0, ``calls.py`` about lengths, cotangents and what a refused
call leaves behind, ``options.py`` about what is not declared. ``shared.py`` has what all of them use. Every wrong shape
here is one that torch.nn.LSTM refuses, or its autograd.
"""

from __future__ import annotations

from conformance.properties.refusals import calls, inputs, options, states

__all__ = ["calls", "inputs", "options", "states"]
