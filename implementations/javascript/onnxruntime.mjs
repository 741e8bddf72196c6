// ONNX Runtime in JavaScript, from LSTM nodes of ONNX. The script that imports this one names the package.

import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { onnxModel } from "./onnx_lstm.mjs";
import { Refused, Unsupported, serve } from "./serve.mjs";

const name = basename(process.argv[1], ".mjs").replace("_", "-"); // onnxruntime-node or onnxruntime-web
const ort = await import(name);
if (name === "onnxruntime-web") ort.env.wasm.numThreads = 1;
ort.env.logLevel = "fatal";

// Findings of the native runtime, of which both are built.
const KNOWN = {
  "onnxruntime-01-no-rows-aborts": name === "onnxruntime-node" ? ["degenerate.no-rows", "degenerate.then-right"] : [],
  "onnxruntime-02-no-steps": ["degenerate.no-steps"],
  "onnxruntime-03-nan-hidden": ["nonfinite.nan-kept", "nonfinite.nan-state", "nonfinite.nan-weight"],
  "onnxruntime-04-length-zero": ["degenerate.no-length"],
};
const expected = Object.entries(KNOWN).flatMap(([page, properties]) =>
  properties.map((property) => [`expected_failure:${property}`, `docs/findings/${page}.md`]),
);
const capabilities = {
  ...Object.fromEntries(expected),
  name,
  version: JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version,
  layers: "true",
  bidirectional: "true",
  no_bias: "true",
  lengths: "true",
};
const TYPES = { F32: "float32", F64: "float64", I64: "int64" };

function build(config, params) {
  for (const option of ["batch_first", "proj_size"]) if (config[option]) throw new Unsupported(option);
  if (config.dropout && config.training) throw new Unsupported("dropout");
  if (config.dtype !== "float32") throw new Unsupported(`dtype ${config.dtype}`);
  const { num_layers: layers, hidden_size: H } = config;
  const D = config.bidirectional ? 2 : 1;
  const sessions = {};
  return async ({ x, h_0, c_0, lengths }) => {
    const feeds = { x: given(x) };
    for (const [part, tensor] of Object.entries({ h_0, c_0 })) {
      if (!tensor) continue;
      if (tensor.shape[0] !== layers * D) throw new Refused(`${part} has ${tensor.shape[0]} layers and directions`);
      const size = tensor.data.length / layers;
      for (let k = 0; k < layers; k++) {
        const [data, shape] = [tensor.data.slice(k * size, (k + 1) * size), [D, ...tensor.shape.slice(1)]];
        feeds[`${part}_${k}`] = given({ ...tensor, data, shape });
      }
    }
    if (lengths) feeds.lengths = new ort.Tensor("int32", Int32Array.from(lengths.data, Number), lengths.shape);
    const options = { executionProviders: [name === "onnxruntime-web" ? "wasm" : "cpu"], intraOpNumThreads: 1 };
    const model = () => ort.InferenceSession.create(onnxModel(config, params, !!h_0, !!lengths), options);
    const found = await (await (sessions[[!!h_0, !!lengths]] ??= model())).run(feeds);
    const N = x.shape[1];
    const joined = (part) => {
      const data = new Float32Array(layers * D * N * H);
      for (let k = 0; k < layers; k++) data.set(found[`${part}_${k}`].data, k * D * N * H);
      return { dtype: "F32", shape: [layers * D, N, H], data };
    };
    const output = found[`y${layers - 1}`];
    const result = { dtype: "F32", shape: [...output.dims], data: new Float32Array(output.data) };
    return { output: result, h_n: joined("h_n"), c_n: joined("c_n") };
  };
}

const given = ({ dtype, data, shape }) => new ort.Tensor(TYPES[dtype], data, shape);

await serve(capabilities, build);
