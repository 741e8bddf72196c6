// recurrent-js' LSTM, a stack of layers that takes one step of one row: the program loops over both.

import recurrent from "recurrent-js";
import { Refused, Unsupported, check, serve } from "./serve.mjs";

const capabilities = {
  name: "recurrent-js",
  version: "1.7.4",
  note: "recurrent-js takes one step of one row: the program loops over steps and rows",
  layers: "true",
  dtypes: "float64",
};

function build(config, params) {
  for (const option of ["bidirectional", "batch_first", "proj_size"]) if (config[option]) throw new Unsupported(option);
  if (!config.bias) throw new Unsupported("no bias");
  if (config.dropout && config.training) throw new Unsupported("dropout");
  if (config.dtype !== "float64") throw new Unsupported(`dtype ${config.dtype}`);
  const { input_size: I, hidden_size: H, num_layers: layers } = config;
  const architecture = { inputSize: I, hiddenUnits: Array(layers).fill(H), outputSize: 1 };
  const lstm = new recurrent.LSTM({ architecture });
  lstm.graph.memorizeOperationSequence(false); // no gradient is asked, and a graph would grow with every call
  ["input", "forget", "cell", "output"].forEach((gate, row) => {
    const into = lstm.model.hidden[gate];
    for (let k = 0; k < layers; k++) {
      const rows = (name, width) => params[`${name}_l${k}`].data.slice(row * H * width, (row + 1) * H * width);
      into.Wx[k].w.set(rows("weight_ih", k ? H : I));
      into.Wh[k].w.set(rows("weight_hh", H));
      const [b_ih, b_hh] = [rows("bias_ih", 1), rows("bias_hh", 1)];
      into.bh[k].w.set(b_ih.map((b, i) => b + b_hh[i]));
    }
  });
  return (call) => {
    if (call.lengths) throw new Unsupported("lengths");
    const [L, N] = call.x?.shape ?? [];
    check("x", call, "F64", [L, N, I]);
    if (call.h_0 || call.c_0) for (const name of ["h_0", "c_0"]) check(name, call, "F64", [layers, N, H]);
    if (L === 0) throw new Refused("x has no steps");
    const output = new Float64Array(L * N * H);
    const [h_n, c_n] = [new Float64Array(layers * N * H), new Float64Array(layers * N * H)];
    for (let n = 0; n < N; n++) {
      const part = ({ data }, k) => column(data.subarray((k * N + n) * H, (k * N + n + 1) * H));
      const of = (tensor) => Array.from({ length: layers }, (_, k) => part(tensor, k));
      let state = call.h_0 ? { hiddenActivationState: of(call.h_0), cells: of(call.c_0) } : undefined;
      for (let t = 0; t < L; t++) {
        state = lstm.forward(column(call.x.data.subarray((t * N + n) * I, (t * N + n + 1) * I)), state);
        output.set(state.hiddenActivationState[layers - 1].w, (t * N + n) * H);
      }
      for (let k = 0; k < layers; k++) {
        h_n.set(state.hiddenActivationState[k].w, (k * N + n) * H);
        c_n.set(state.cells[k].w, (k * N + n) * H);
      }
    }
    const tensor = (data, shape) => ({ dtype: "F64", shape, data });
    return { output: tensor(output, [L, N, H]), h_n: tensor(h_n, [layers, N, H]), c_n: tensor(c_n, [layers, N, H]) };
  };
}

function column(values) {
  const mat = new recurrent.Mat(values.length, 1);
  mat.w.set(values);
  return mat;
}

await serve(capabilities, build);
