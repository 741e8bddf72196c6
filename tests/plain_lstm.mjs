// A forward LSTM of one layer in plain JavaScript, and a mistake in it that a test may ask for: `node plain_lstm.mjs WRONG`.

import { Unsupported, check, serve } from "../implementations/javascript/serve.mjs";

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const [I, F, G, O] = process.argv[2] === "gates" ? [0, 2, 1, 3] : [0, 1, 2, 3];

function build({ input_size: width, hidden_size: H, num_layers, bidirectional, proj_size, batch_first, dtype, bias }, w) {
  if (num_layers > 1 || bidirectional || proj_size || batch_first || !bias || dtype !== "float64")
    throw new Unsupported("anything but one layer in float64");
  return (call) => {
    const [L, N] = call.x.shape;
    check("x", call, "F64", [L, N, width]);
    const output = new Float64Array(L * N * H);
    const h = Float64Array.from(call.h_0?.data ?? new Float64Array(N * H));
    const c = Float64Array.from(call.c_0?.data ?? new Float64Array(N * H));
    for (let t = 0; t < L; t++)
      for (let n = 0; n < N; n++) {
        const a = (row) => {
          let sum = w.bias_ih_l0.data[row] + w.bias_hh_l0.data[row];
          for (let k = 0; k < width; k++) sum += w.weight_ih_l0.data[row * width + k] * call.x.data[(t * N + n) * width + k];
          for (let k = 0; k < H; k++) sum += w.weight_hh_l0.data[row * H + k] * h[n * H + k];
          return sum;
        };
        const gates = Array.from({ length: H }, (_, j) => [I, F, G, O].map((gate) => a(gate * H + j)));
        gates.forEach(([i, f, g, o], j) => {
          const at = n * H + j;
          c[at] = sigmoid(f) * c[at] + sigmoid(i) * Math.tanh(g);
          h[at] = sigmoid(o) * Math.tanh(c[at]);
          output[(t * N + n) * H + j] = h[at];
        });
      }
    const tensor = (data, shape) => ({ dtype: "F64", shape, data });
    return { output: tensor(output, [L, N, H]), h_n: tensor(h, [1, N, H]), c_n: tensor(c, [1, N, H]) };
  };
}

await serve({ name: "plain-js", dtypes: "float64" }, build);
