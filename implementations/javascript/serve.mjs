// A program of docs/protocol.md around any LSTM: `serve(capabilities, build)` answers until standard input ends.
//
// `build(config, params)` gives `forward(call)`, which takes and gives tensors { dtype, shape, data }, or promises them.

import { readMessage, writeMessage } from "../tfjs_lstm/message.mjs";

const [STDIN, STDOUT] = [0, 1];

/** Thrown for what an LSTM does not have. */
export class Unsupported extends Error {
  kind = "unsupported";
}

/** Thrown for what does not fit the model. */
export class Refused extends Error {
  kind = "refused";
}

export async function serve(capabilities, build) {
  console.log = console.info = console.error; // standard output is for messages alone
  const models = new Map();
  const find = (model) => {
    if (!models.has(model)) throw new Refused(`there is no model ${model}`);
    return models.get(model);
  };
  const answers = {
    hello({ protocol }) {
      if (protocol !== "1") throw new Unsupported(`protocol ${protocol}`);
      return [{ type: "hello", protocol, ...capabilities }];
    },
    build({ model, ...fields }, params) {
      models.set(model, build(configOf(fields), params));
      return [{ type: "built" }];
    },
    async forward({ model }, call) {
      return [{ type: "result" }, await find(model)(call)];
    },
    release({ model }) {
      find(model);
      models.delete(model);
      return [{ type: "released" }];
    },
  };
  let request;
  while ((request = readMessage(STDIN)) !== null) {
    const { fields: { type, ...fields }, tensors } = request;
    let response;
    try {
      if (!Object.hasOwn(answers, type)) throw new Unsupported(`requests of type ${type}`);
      response = await answers[type](fields, tensors);
    } catch (error) {
      response = [{ type: "error", kind: error.kind ?? "failed", message: error.message }];
    }
    writeMessage(STDOUT, ...response);
  }
}

/** nn.LSTM's arguments, from the strings of a request. */
function configOf(fields) {
  const config = { dtype: fields.dtype, dropout: Number(fields.dropout) };
  for (const name of ["input_size", "hidden_size", "num_layers", "proj_size"]) config[name] = Number(fields[name]);
  for (const name of ["bias", "batch_first", "bidirectional", "training"]) config[name] = fields[name] === "true";
  return config;
}

/** Refuse a tensor that has not this dtype and shape. */
export function check(name, { [name]: tensor }, dtype, shape) {
  if (tensor?.dtype === dtype && tensor.shape.join() === shape.join()) return;
  throw new Refused(`${name} must be ${dtype} [${shape}], got ${tensor ? `${tensor.dtype} [${tensor.shape}]` : "none"}`);
}
