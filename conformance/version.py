"""The version of lstm-conformance."""

__version__ = "0.1.0"
