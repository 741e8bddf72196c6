"""Why the mutants that survive are equivalent to the original: by subject, a reason and the mutants that it is of."""

from __future__ import annotations

# ruff: noqa: E501
_REASONS: dict[str, dict[str, tuple[str, ...]]] = {
    "c": {
        "The check of the pointers to the weights is weaker. The adapter never hands over a cell without them, and they "
        "belong to the library's own interface, which tests/test_example_c.py asks.": (
            "const size_t slots = config->num_layers * (config->bidirectional ? 2 : 1);  →  const size_t slots = config->num_layers / (config->bidirectional ? 2 : 1);",
            "for (size_t slot = 0; slot < slots; slot++) {  →  for (size_t slot = 0; slot > slots; slot++) {",
            "const size_t slots = config->num_layers * (config->bidirectional ? 2 : 1);  →  const size_t slots = config->num_layers * (config->bidirectional && 0 ? 2 : 1);",
            "const size_t slots = config->num_layers * (config->bidirectional ? 2 : 1);  →  const size_t slots = config->num_layers * (config->bidirectional ? (2 - 1) : 1);",
            "const size_t slots = config->num_layers * (config->bidirectional ? 2 : 1);  →  const size_t slots = config->num_layers * (config->bidirectional ? 2 : (1 - 1));",
            "for (size_t slot = 0; slot < slots; slot++) {  →  for (size_t slot = (0 + 1); slot < slots; slot++) {",
            "for (size_t slot = 0; slot < slots; slot++) {  →  for (size_t slot = (0 - 1); slot < slots; slot++) {",
            "if (!cell->weight_ih || !cell->weight_hh || !cell->bias_ih != !cell->bias_hh)  →  if (!cell->weight_ih && !cell->weight_hh || !cell->bias_ih != !cell->bias_hh)",
            "if (!cell->weight_ih || !cell->weight_hh || !cell->bias_ih != !cell->bias_hh)  →  if (!cell->weight_ih || !cell->weight_hh && !cell->bias_ih != !cell->bias_hh)",
            "if (!sizes_are_valid(config) || !NAME(cells_are_valid)(config, cells))  →  if (!sizes_are_valid(config) && !NAME(cells_are_valid)(config, cells))",
            "for (size_t slot = 0; slot < slots; slot++) {  →  for (size_t slot = 0; slot < slots; slot--) {",
            "return false;  →  return true;",
            "return false;  →  return true; (2)",
        ),
        "The sum is even wherever the difference is.": (
            "REAL *to = (config->num_layers - layer) % 2 ? output : between;  →  REAL *to = (config->num_layers + layer) % 2 ? output : between;",
        ),
    },
}

#: The reason, by subject and mutant.
EQUIVALENT: dict[tuple[str, str], str] = {
    (subject, mutant): reason
    for subject, reasons in _REASONS.items()
    for reason, mutants in reasons.items()
    for mutant in mutants
}
