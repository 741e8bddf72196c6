// An LSTM as an ONNX file: one LSTM node for each layer, as exporters write them (gates i, o, f, c).

import protobuf from "protobufjs";

// The parts of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto that are written here.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Model { int64 ir_version = 1; Graph graph = 7; repeated Opset opset_import = 8; }
  message Opset { string domain = 1; int64 version = 2; }
  message Graph {
    repeated Node node = 1; string name = 2; repeated Tensor initializer = 5; repeated Value input = 11;
    repeated Value output = 12;
  }
  message Node { repeated string input = 1; repeated string output = 2; string op_type = 4; repeated Attribute attribute = 5; }
  message Attribute { string name = 1; int64 i = 3; bytes s = 4; repeated int64 ints = 8; int32 type = 20; }
  message Tensor { repeated int64 dims = 1; int32 data_type = 2; string name = 8; bytes raw_data = 9; }
  message Value { string name = 1; Type type = 2; }
  message Type { TensorType tensor_type = 1; }
  message TensorType { int32 elem_type = 1; Shape shape = 2; }
  message Shape { repeated Dim dim = 1; }
  message Dim { oneof value { int64 dim_value = 1; string dim_param = 2; } }`, { keepCase: true });
const Model = root.lookupType("Model");
const [FLOAT, INT32, INT64] = [1, 6, 7];

const tensor = (name, dims, data, type = FLOAT) => ({
  name, dims, data_type: type, raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
});
const value = (name, dims, type = FLOAT) => ({
  name, type: { tensor_type: { elem_type: type, shape: { dim: dims.map(dimension) } } },
});
const dimension = (size) => (typeof size === "string" ? { dim_param: size } : { dim_value: size });
const node = (op_type, input, output, attribute = []) => ({ op_type, input, output, attribute });
const integer = (name, i) => ({ name, type: 2, i });

/** Rows packed i, f, g, o as ONNX packs them: i, o, f, c. */
function iofc(rows) {
  const part = rows.length / 4;
  const gates = [0, 3, 1, 2].map((gate) => rows.subarray(gate * part, (gate + 1) * part));
  return gates.flatMap((gate) => [...gate]);
}

/** The file. Inputs: x (L, N, I); h_0_k and c_0_k (D, N, H) of each layer k if `state`; lengths (N,) if `lengths`. */
export function onnxModel({ input_size: I, hidden_size: H, num_layers: layers, bidirectional, bias }, params, state, lengths) {
  const D = bidirectional ? 2 : 1;
  const initializer = [tensor("shape", [3], new BigInt64Array([0n, 0n, BigInt(D * H)]), INT64)];
  const [nodes, inputs, finals] = [[], [value("x", ["L", "N", I])], []];
  let below = "x";
  for (let k = 0; k < layers; k++) {
    const suffixes = ["", "_reverse"].slice(0, D).map((way) => `_l${k}${way}`);
    const packed = (name, dims, kinds) => {
      const rows = suffixes.flatMap((suffix) => kinds.flatMap((kind) => iofc(params[kind + suffix].data)));
      initializer.push(tensor(name, dims, new Float32Array(rows)));
      return name;
    };
    const W = packed(`W${k}`, [D, 4 * H, k ? D * H : I], ["weight_ih"]);
    const R = packed(`R${k}`, [D, 4 * H, H], ["weight_hh"]);
    const B = bias ? packed(`B${k}`, [D, 8 * H], ["bias_ih", "bias_hh"]) : "";
    const given = state ? [`h_0_${k}`, `c_0_${k}`] : ["", ""];
    if (state) inputs.push(...given.map((name) => value(name, [D, "N", H])));
    const direction = { name: "direction", type: 3, s: new TextEncoder().encode(D === 2 ? "bidirectional" : "forward") };
    const outputs = [`Y${k}`, `h_n_${k}`, `c_n_${k}`];
    nodes.push(node("LSTM", [below, W, R, B, lengths ? "lengths" : "", ...given], outputs, [integer("hidden_size", H), direction]));
    // Y is (L, D, N, H).
    nodes.push({ ...node("Transpose", [`Y${k}`], [`T${k}`]), attribute: [{ name: "perm", type: 7, ints: [0, 2, 1, 3] }] });
    nodes.push(node("Reshape", [`T${k}`, "shape"], [(below = `y${k}`)]));
    finals.push(...outputs.slice(1).map((name) => value(name, [D, "N", H])));
  }
  if (lengths) inputs.push(value("lengths", ["N"], INT32));
  const graph = { name: "lstm", node: nodes, initializer, input: inputs, output: [value(below, ["L", "N", D * H]), ...finals] };
  return Model.encode(Model.create({ ir_version: 8, opset_import: [{ version: 14 }], graph })).finish();
}
