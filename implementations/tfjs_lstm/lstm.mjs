// nn.LSTM's conventions outside, TensorFlow.js' own layers inside: for each layer one tf.layers.lstm, within
// tf.layers.bidirectional where there are two directions. Arrays come and go as { dtype, shape, data }.

import * as tf from "@tensorflow/tfjs";

await tf.setBackend("cpu");
tf.enableProdMode(); // or stderr would begin with an advertisement of another backend

/** What the program's hello declares. */
export const capabilities = {
  name: "tfjs",
  version: tf.version.tfjs,
  note: "tf.layers.lstm on TensorFlow.js' CPU backend",
  layers: "true",
  bidirectional: "true",
  no_bias: "true",
  batch_first: "true",
  unbatched: "true",
};

/** Thrown for what this LSTM does not have. */
export class Unsupported extends Error {
  kind = "unsupported";
}

/** Thrown for what does not fit the model. */
export class Refused extends Error {
  kind = "refused";
}

/** A model, from nn.LSTM's arguments and its state_dict. */
export class LSTM {
  constructor(config, params) {
    if (config.proj_size > 0) throw new Unsupported("tf.layers.lstm has no projection");
    if (config.dropout > 0 && config.training) throw new Unsupported("dropout in training");
    if (config.dtype !== "float32") throw new Unsupported(`dtype ${config.dtype}`);
    checkParams(config, params);
    this.config = config;
    this.layers = [];
    // Called on a symbolic sequence, a layer makes its variables, for as many features as that has.
    let sequence = tf.input({ shape: [null, config.input_size] });
    for (let k = 0; k < config.num_layers; k++) {
      const layer = newLayer(config);
      [sequence] = layer.apply(sequence);
      tf.tidy(() => layer.setWeights(ends(config, k).flatMap((end) => weightsOf(params, end))));
      this.layers.push(layer);
    }
  }

  /** x, and h_0 and c_0 where given -> output, h_n, c_n; all laid out as nn.LSTM lays them out. */
  forward(call) {
    const { x, h_0, c_0, lengths } = call;
    if (lengths) throw new Unsupported("lengths: tfjs' mask lets NaN through (README.md)");
    checkCall(this.config, call);
    const unbatched = x.shape.length === 2;
    const timeMajor = !unbatched && !this.config.batch_first;
    // tidy frees all tensors that are made within.
    return tf.tidy(() => {
      let sequence = toTensor(x); // to become (N, L, features), tfjs' only layout
      if (unbatched) sequence = sequence.expandDims(0);
      if (timeMajor) sequence = sequence.transpose([1, 0, 2]);
      const initial = h_0 && inTurn(toTensor(h_0), toTensor(c_0), unbatched);
      const final = [];
      for (const layer of this.layers) {
        const initialState = initial?.splice(0, this.config.bidirectional ? 4 : 2);
        const [output, ...states] = layer.apply(sequence, { initialState });
        sequence = output;
        final.push(...states);
      }
      if (unbatched) sequence = sequence.squeeze([0]);
      if (timeMajor) sequence = sequence.transpose([1, 0, 2]);
      const [h_n, c_n] = apart(final, unbatched);
      return { output: fromTensor(sequence), h_n: fromTensor(h_n), c_n: fromTensor(c_n) };
    });
  }

  /** Frees the layers' variables. */
  dispose() {
    for (const layer of this.layers) layer.dispose();
  }
}

function newLayer({ hidden_size, bias, bidirectional }) {
  const layer = tf.layers.lstm({
    units: hidden_size,
    useBias: bias,
    recurrentActivation: "sigmoid", // the default is hardSigmoid, which is piecewise linear
    returnSequences: true,
    returnState: true,
    kernelInitializer: "zeros", // until the weights are set; the default for the other one orthogonalizes a matrix
    recurrentInitializer: "zeros",
  });
  return bidirectional ? tf.layers.bidirectional({ layer, mergeMode: "concat" }) : layer;
}

/** One layer and direction's kernels and bias: gates i, f, c, o are nn.LSTM's i, f, g, o, but lie along the columns. */
function weightsOf(params, end) {
  const of = (name) => toTensor(params[name + end]);
  const kernels = [of("weight_ih").transpose(), of("weight_hh").transpose()];
  return `bias_ih${end}` in params ? [...kernels, of("bias_ih").add(of("bias_hh"))] : kernels;
}

/** (layers·D, N, H) -> h (N, H), c (N, H), h, c … as tfjs has them, by layer and then by direction like nn.LSTM. */
function inTurn(h, c, unbatched) {
  const [hs, cs] = [h, c].map((state) => tf.unstack(unbatched ? state.expandDims(1) : state));
  return hs.flatMap((h, slot) => [h, cs[slot]]);
}

/** And back. */
function apart(states, unbatched) {
  return [0, 1].map((part) => {
    const stacked = tf.stack(states.filter((_, i) => i % 2 === part));
    return unbatched ? stacked.squeeze([1]) : stacked;
  });
}

function toTensor({ shape, data }) {
  return tf.tensor(data, shape);
}

function fromTensor(tensor) {
  // The data of an empty tensor may be a plain array.
  return { dtype: "F32", shape: tensor.shape, data: Float32Array.from(tensor.dataSync()) };
}

/** The ends of layer k's parameter names, one for each direction. */
function ends({ bidirectional }, k) {
  return bidirectional ? [`_l${k}`, `_l${k}_reverse`] : [`_l${k}`];
}

/** The first axis of nn.LSTM's states: layers·D. */
function slots({ num_layers, bidirectional }) {
  return bidirectional ? 2 * num_layers : num_layers;
}

/** To be done before tfjs adds two biases, of which it would broadcast one. */
function checkParams(config, params) {
  const { input_size, hidden_size, num_layers, bias, bidirectional } = config;
  const [expected, given] = [slots(config) * (bias ? 4 : 2), Object.keys(params).length];
  if (given !== expected) throw new Refused(`there must be ${expected} params, got ${given}`);
  const rows = 4 * hidden_size;
  const features = bidirectional ? 2 * hidden_size : hidden_size;
  for (let k = 0; k < num_layers; k++) {
    for (const end of ends(config, k)) {
      check(`weight_ih${end}`, params, [rows, k ? features : input_size]);
      check(`weight_hh${end}`, params, [rows, hidden_size]);
      if (bias) check(`bias_ih${end}`, params, [rows]);
      if (bias) check(`bias_hh${end}`, params, [rows]);
    }
  }
}

/** tfjs looks at x's features only, and would broadcast a state. */
function checkCall(config, call) {
  const { input_size, hidden_size, batch_first } = config;
  const shape = call.x?.shape ?? [];
  if (shape.length !== 2 && shape.length !== 3) throw new Refused(`x must have 2 or 3 axes, got [${shape}]`);
  const [steps, ...rows] = batch_first && shape.length === 3 ? [shape[1], shape[0]] : shape.slice(0, -1);
  check("x", call, [...shape.slice(0, -1), input_size]);
  if (steps === 0) throw new Refused("x has no steps, for which tf.layers.lstm finds nothing to stack");
  if (!call.h_0 && !call.c_0) return;
  check("h_0", call, [slots(config), ...rows, hidden_size]);
  check("c_0", call, [slots(config), ...rows, hidden_size]);
}

function check(name, { [name]: array }, shape) {
  if (array?.dtype === "F32" && array.shape.join() === shape.join()) return;
  throw new Refused(`${name} must be F32 [${shape}], got ${array ? `${array.dtype} [${array.shape}]` : "none"}`);
}
