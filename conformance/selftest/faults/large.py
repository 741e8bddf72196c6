"""Faults that only models and calls of real size meet, most of them where nothing else is special."""

from __future__ import annotations

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.fault import LENGTHS, SIZES, STACK, STATE, Fault
from conformance.selftest.faults.structure import before, shown, weighted
from conformance.selftest.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, State


def _zeroed_up_to_256(config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    sequence, (h_0, c_0) = correct.enter(config, x, state)
    rest = np.arange(c_0.shape[2]) >= 256
    return sequence, (h_0, c_0 if state is not None else np.where(rest, c_0.dtype.type(0.5), c_0))


def _h_in_place(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """One row whose units are worked off in blocks of 64: each block reads what the ones before made of h."""
    h_t, c_t = correct.step(twin, at, w, x, h, c)
    if len(x) > 1 or h.shape[1] % 8 or at.config.proj_size:
        return h_t, c_t
    h_t, c_t = h_t.copy(), c_t.copy()
    for block in range(64, h.shape[1], 64):
        own = slice(block, block + 64)
        seen = np.concatenate([h_t[:, :block], h[:, block:]], axis=1)
        h_new, c_new = correct.step(twin, at, w, x, seen, c)
        h_t[:, own], c_t[:, own] = h_new[:, own], c_new[:, own]
    return h_t, c_t


def _row_offset(rows: int, width: int) -> Array:
    """The rows that are found where the offset of a row of gates has 16 bits."""
    return np.arange(rows) * width % (1 << 16) // width


FAULTS = (
    Fault("no-state-past-256", "Without a state, cells from the 257th on do not start from zero.", "MNN#2500",
          "no state given, H > 256", STATE, Twin(enter=_zeroed_up_to_256)),
    Fault("one-row-in-place", "For one row, blocks of 64 units overwrite the h that later blocks read.",
          "GEMV paths", "N = 1, H % 8 = 0, H > 64, no projection", SIZES, Twin(step=_h_in_place)),
    Fault("gate-row-offset-of-16-bits", "Rows of gates are stored at offsets of 16 bits.", "16-bit counters",
          "N·4H > 65,536", SIZES,
          Twin(preactivations=lambda twin, at, w, x, h: correct.preactivations(twin, at, w, x, h)[
              _row_offset(len(x), 4 * at.config.hidden_size)])),
    Fault("features-past-8192", "Features from the 8,193rd on are dropped.", "16-bit strides", "I > 8,192", SIZES,
          Twin(feed=lambda at, below: np.where(np.arange(below.shape[2]) < 8192, below, 0 * below))),
    Fault("steps-past-1024", "Steps from the 1,025th on put out zeros.", "fixed buffers", "L > 1,024", SIZES,
          shown(lambda at, values: np.where(np.arange(len(values))[:, None, None] < 1024, values, 0 * values))),
    Fault("projected-past-256", "Projected units from the 257th on are not read by the recurrence.", "tiles",
          "projection, P > 256", SIZES, weighted(lambda at, w: {**w, "weight_hh": np.where(
              np.arange(w["weight_hh"].shape[1]) < 256, w["weight_hh"], 0)} if "weight_hr" in w else w)),
    Fault("hidden-past-1024", "Units from the 1,025th on are not read by the recurrence.", "CUDA's block size",
          "H > 1,024, no projection", SIZES, weighted(lambda at, w: {**w, "weight_hh": np.where(
              np.arange(w["weight_hh"].shape[1]) < 1024, w["weight_hh"], 0)})),
    Fault("rows-past-1024", "Rows from the 1,025th on put out zeros.", "CUDA's block size", "N > 1,024", SIZES,
          shown(lambda at, values: np.where(np.arange(values.shape[1])[:, None] < 1024, values, 0 * values))),
    Fault("rows-past-512-start-like-the-first", "Rows from the 513th on start from the first rows' h_0.", "tiles",
          "state, N > 512", STATE,
          before(lambda at, h, c: (h if at.t else h[np.arange(len(h)) % 512], c))),
    Fault("steps-times-rows-of-16-bits", "From the 65,536th pair of step and row on, outputs are zeros.",
          "pytorch#177834", "L·N > 65,535", SIZES, shown(lambda at, values: np.where(
              np.arange(values.shape[0] * values.shape[1]).reshape(*values.shape[:2], 1) < 65535, values, 0 * values))),
    Fault("rows-beside-128s", "With units by the 128 and rows that are no multiple of 8, the last row is zeros.",
          "pytorch#48070", "H % 128 = 0, N > 8, N % 8", SIZES, shown(lambda at, values: values if
              at.config.hidden_size % 128 or values.shape[1] <= 8 or values.shape[1] % 8 == 0 else
              np.where(np.arange(values.shape[1])[:, None] < values.shape[1] - 1, values, 0 * values))),
    Fault("persistent-past-40-steps", "A persistent kernel puts out zeros from the 41st step on.", "cuDNN",
          "I % 128 = 0, H % 128 = 0, L > 40", SIZES, shown(lambda at, values: values if
              at.config.hidden_size % 128 or at.config.input_size % 128 else
              np.where(np.arange(len(values))[:, None, None] < 40, values, 0 * values))),
    Fault("fourth-layer-is-third", "Layers from the fourth on have the recurrent weights of the third.",
          "lists of a fixed length", "layers > 3, no projection", STACK,
          Twin(weights=lambda params, at: {
              **correct.weights(params, at),
              **({} if at.layer < 3 or at.config.proj_size else {
                  "weight_hh": correct.weights(params, at._replace(layer=2))["weight_hh"]})})),
    Fault("deep-cells-forget-every-16-steps", "From the fourth layer on, c starts anew every 16 steps.",
          "time blocks", "layers > 3, L > 16", STACK,
          before(lambda at, h, c: (h, 0 * c) if at.layer > 2 and at.t and at.t % 16 == 0 else (h, c))),
    Fault("ragged-rows-of-7-bits", "With lengths, rows from the 129th on are zeros.", "8-bit counters",
          "unequal lengths, N > 128", LENGTHS,
          Twin(unflip=lambda at, values, lengths: correct.flip(at, values, lengths) if lengths.min() == at.steps
              else np.where(np.arange(len(lengths))[:, None] < 128, correct.flip(at, values, lengths), 0 * values))),
)  # fmt: skip
