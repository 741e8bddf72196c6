"""A program that speaks the wire protocol, and does what its argument says where a sequence is longer than three.

When it falls silent it creates the file that a second argument names.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, os.path.dirname(__file__))
from samples import lstm

from conformance import Backend, Capabilities
from conformance.processes.message import Message, Stream, decode, encode
from conformance.processes.wire.server import answer

SAMPLE = Backend("sample", Capabilities(), lstm)


def spoilt(how: str, response: Message) -> bytes:
    """The bytes that are sent instead of a response."""
    whole = encode(response)
    header = int.from_bytes(whole[:8], "little")
    if how == "print":
        return b"Loading the model ...\n" + whole
    if how == "truncated":
        return whole[:-5]
    if how == "long-header":
        return (2**40).to_bytes(8, "little") + whole[8:]
    if how == "oversized":
        entry = b'{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}'
        text = b'{"__metadata__":{"type":"result"},"output":' + entry + b"}"
        return len(text).to_bytes(8, "little") + text
    if how == "twice":
        text = whole[8 : 8 + header].replace(b'"h_n":', b'"output":')
        return len(text).to_bytes(8, "little") + text + whole[8 + header :]
    if how == "wrong-type":
        return encode(Message({"type": "built"}))
    if how == "wrong-shape":
        tensors = {name: value[..., :-1] for name, value in response.tensors.items()}
        return encode(Message(response.fields, tensors))
    if how == "wrong-dtype":
        tensors = {name: value.astype(np.float64) for name, value in response.tensors.items()}
        return encode(Message(response.fields, tensors))
    if how == "silent":
        for name in sys.argv[2:]:
            Path(name).touch()
        time.sleep(1000)
    if how == "exit":
        print("I have had enough", file=sys.stderr)
        sys.exit(5)
    assert how == "right"
    return whole


def main(how: str) -> None:
    """Answer requests."""
    if how == "at-start":
        sys.exit("I never start")
    if how == "no-hello":
        print("usage: garbler FILE", flush=True)
        time.sleep(1000)
    stream, models = Stream(0), {}
    while (request := decode(stream, 1 << 30)) is not None:
        response = answer(SAMPLE, models, request)
        long = response.type == "result" and len(request.tensors["x"]) > 3
        os.write(1, spoilt(how if long else "right", response))


if __name__ == "__main__":
    main(sys.argv[1])
