// The program: answers the requests of docs/protocol.md, one after the other, until standard input ends.

import { LSTM, Refused, Unsupported, capabilities } from "./lstm.mjs";
import { readMessage, writeMessage } from "./message.mjs";

const [STDIN, STDOUT] = [0, 1];
console.log = console.info = console.error; // standard output is for messages alone

const models = new Map();

/** From a request's fields and tensors to the response's. */
const answers = {
  hello({ protocol }) {
    if (protocol !== "1") throw new Unsupported(`protocol ${protocol}`);
    return [{ type: "hello", protocol, ...capabilities }];
  },
  build({ model, ...fields }, params) {
    if (models.has(model)) throw new Refused(`there is a model ${model} already`);
    models.set(model, new LSTM(configOf(fields), params));
    return [{ type: "built" }];
  },
  forward({ model }, call) {
    return [{ type: "result" }, find(model).forward(call)];
  },
  release({ model }) {
    find(model).dispose();
    models.delete(model);
    return [{ type: "released" }];
  },
};

function find(model) {
  if (!models.has(model)) throw new Refused(`there is no model ${model}`);
  return models.get(model);
}

/** nn.LSTM's arguments, from the strings of a request. */
function configOf(fields) {
  const config = { dtype: fields.dtype, dropout: Number(fields.dropout) };
  if (!(config.dropout >= 0 && config.dropout <= 1)) throw new Refused(`dropout is ${fields.dropout}`);
  for (const [name, least] of Object.entries({ input_size: 1, hidden_size: 1, num_layers: 1, proj_size: 0 })) {
    config[name] = Number(fields[name]);
    if (!Number.isInteger(config[name]) || config[name] < least) throw new Refused(`${name} is ${fields[name]}`);
  }
  for (const name of ["bias", "batch_first", "bidirectional", "training"]) {
    if (!["true", "false"].includes(fields[name])) throw new Refused(`${name} is ${fields[name]}`);
    config[name] = fields[name] === "true";
  }
  return config;
}

function answer({ fields: { type, ...fields }, tensors }) {
  try {
    if (!Object.hasOwn(answers, type)) throw new Unsupported(`requests of type ${type}`);
    return answers[type](fields, tensors);
  } catch (error) {
    if (!error.kind) console.error(error);
    return [{ type: "error", kind: error.kind ?? "failed", message: error.message }];
  }
}

let request;
while ((request = readMessage(STDIN)) !== null) writeMessage(STDOUT, ...answer(request));
