"""The differences between frameworks: other readings of the same arrays, by name, to search and to make up for.

Here belongs a difference that depends on the config and on shapes alone and treats all rows, steps and units alike: the
order of gates, of axes, layers, directions and states, which weights and biases there are. A difference that depends on
values, on a limit, on precision or on earlier calls is a bug, and stays with the faults. A search for the
convention that explains a failure runs backends, and so it belongs above ``engine``.
"""

from conformance.conventions import layouts, parameters
from conformance.conventions.transform import Convention, Transform, Whole

#: Every named convention.
CONVENTIONS: tuple[Convention, ...] = (*parameters.CONVENTIONS, *layouts.CONVENTIONS)

__all__ = ["CONVENTIONS", "Convention", "Transform", "Whole"]
