"""The formats of vectors: one module for each kind of files, a function for each format, which writes to a folder."""
