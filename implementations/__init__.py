"""One file per backend: the built-in implementations the suite judges, and examples of how to write one."""
