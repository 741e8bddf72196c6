// Messages of docs/protocol.md: safetensors files one after the other, read from and written to file descriptors.
//
// Both are synchronous: a request is answered before the next one is read, so there is nothing else to do meanwhile.
// Typed arrays have the machine's byte order, which is little-endian wherever this runs but on s390x.

import { readSync, writeSync } from "node:fs";

// Nothing here computes with 16-bit floats, which not every Node has an array for: their bits pass as integers.
const ARRAYS = { F32: Float32Array, F64: Float64Array, F16: Uint16Array, BF16: Uint16Array, I64: BigInt64Array };

const MAX_HEADER = 100_000_000; // safetensors' own limit
const MAX_ELEMENTS = 2 ** 31 - 1; // the most bytes that one readSync takes

/** The next message, { fields, tensors: { name: { dtype, shape, data } } }, or null where the input ends. */
export function readMessage(fd) {
  const prefix = read(fd, 8, true);
  if (prefix === null) return null;
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER) throw new Error(`a header of ${length} bytes`);
  const header = new TextDecoder("utf-8", { fatal: true }).decode(read(fd, Number(length)));
  const { __metadata__: fields = {}, ...entries } = JSON.parse(header);
  const { buffer } = read(fd, checkedSize(entries));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    // A copy: a view would have to begin at a multiple of its element's size.
    tensors[name] = { dtype, shape, data: new ARRAYS[dtype](buffer.slice(...offsets)) };
  }
  return { fields, tensors };
}

/** Writes a message: fields are strings, tensors as `readMessage` gives them. */
export function writeMessage(fd, fields, tensors = {}) {
  const entries = { __metadata__: fields };
  const elements = [];
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const begin = end;
    end += data.byteLength;
    entries[name] = { dtype, shape, data_offsets: [begin, end] };
    elements.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const header = Buffer.from(JSON.stringify(entries));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const message = Buffer.concat([prefix, header, ...elements]);
  for (let sent = 0; sent < message.length; ) sent += writeSync(fd, message, sent);
}

/** How many bytes follow the header. Whatever it claims is checked here, before anything is allocated for it. */
function checkedSize(entries) {
  let size = 0;
  const byOffsets = ([, { data_offsets: a }], [, { data_offsets: b }]) => a[0] - b[0] || a[1] - b[1];
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(entries).sort(byOffsets)) {
    if (!Object.hasOwn(ARRAYS, dtype)) throw new Error(`tensor ${name}: dtype ${dtype}`);
    if (!shape.every((n) => Number.isInteger(n) && n >= 0)) throw new Error(`tensor ${name}: shape [${shape}]`);
    const bytes = shape.reduce((product, n) => product * n, ARRAYS[dtype].BYTES_PER_ELEMENT);
    if (begin !== size || end !== begin + bytes || end > MAX_ELEMENTS) {
      throw new Error(`tensor ${name}: ${dtype} [${shape}] at ${begin} to ${end}, after ${size} bytes of others`);
    }
    size = end;
  }
  return size;
}

/** The next `size` bytes; null if the input has ended before them and may. */
function read(fd, size, mayEnd = false) {
  const bytes = new Uint8Array(size);
  for (let filled = 0; filled < size; ) {
    const count = readSync(fd, bytes, filled, size - filled);
    if (count === 0 && filled === 0 && mayEnd) return null;
    if (count === 0) throw new Error(`the input ends within a message, ${size - filled} bytes early`);
    filled += count;
  }
  return bytes;
}
