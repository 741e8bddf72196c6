"""The wire protocol of docs/protocol.md: LSTMs in any language, as programs."""
