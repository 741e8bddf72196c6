"""The division of a backend's properties among the workers of pytest-xdist, by node ids alone.

The controller collects nothing and loads no suite, so what it knows of an item is its node id. Controller and workers
agree on the parts because both compute them from the same table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pytest

#: For each group of properties, its share of a run's seconds in percent: as measured on numpy and torch-nn. Slips cost
#: time and nothing else.
SHARES: Mapping[str, int] = {
    "smoke": 0,
    "layout": 2,
    "values": 4,
    "sequence": 1,
    "direction": 1,
    "stack": 1,
    "batch": 1,
    "lengths": 4,
    "state": 2,
    "parameters": 3,
    "numerics": 4,
    "nonfinite": 3,
    "degenerate": 1,
    "gradients": 33,
    "dropout": 8,
    "purity": 14,
    "sizes": 16,
    "refusals": 3,
}

#: ``my_lstm:build::values.output`` or ``test_mine.py::test_it[values.output]``: the place, the group, the property.
_NODE_ID = re.compile(r"(?P<place>.+)(?:::|\[)(?P<group>[a-z]+)\.[A-Za-z0-9_-]+\]?")


@lru_cache
def parts(count: int) -> Mapping[str, int]:
    """For each group the number of its part: the largest first, each to the part that has the least so far."""
    loads, part = [0] * count, {}
    for group, share in sorted(SHARES.items(), key=lambda each: -each[1]):
        part[group] = loads.index(min(loads))
        loads[part[group]] += share
    return part


def part_of(property: str, count: int) -> int:
    """The number of the part that a property belongs to, of so many."""
    return parts(count)[property.partition(".")[0]]


def unit(nodeid: str, count: int) -> str | None:
    """What must stay on one worker: a backend's place and the part; None if the node id is no property's."""
    match = _NODE_ID.fullmatch(nodeid)
    if match is None or match["group"] not in SHARES:
        return None
    return f"{match['place']}#{part_of(match['group'], count)}"


def spreads(config: pytest.Config) -> bool:
    """Whether any worker may get any item; pytest-xdist's other ways already say which worker gets what."""
    return config.getoption("dist", "no") in ("load", "loadgroup")


def scheduler(config: pytest.Config, log: Any) -> object:
    """A scheduler that gives each part to one worker, so that its cases are run once; None if pytest-xdist's own does.

    Not by the mark ``xdist_group``: it turns node ids into ``…@group``, and pytest 9.2 ignores it.
    """
    if not spreads(config):
        return None
    # An optional plugin, of whose hook this is: it is there if this is called.
    from xdist.scheduler import LoadGroupScheduling, LoadScheduling  # noqa: PLC0415

    class Grouped(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid, self.numnodes) or super()._split_scope(nodeid)

    if config.getoption("dist") == "loadgroup":
        return Grouped(config, log)

    class Scheduling:
        """pytest-xdist's usual scheduler, until it turns out that properties of a backend were collected."""

        def __init__(self) -> None:
            self._chosen: Any = LoadScheduling(config, log)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._chosen, name)

        def schedule(self) -> None:
            usual = self._chosen
            if isinstance(usual, LoadScheduling) and usual.collection is None:
                collections = usual.node2collection
                if any(unit(nodeid, usual.numnodes) for nodeid in next(iter(collections.values()), ())):
                    self._chosen = Grouped(config, log)
                    for node, collected in collections.items():
                        self._chosen.add_node(node)
                        self._chosen.add_node_collection(node, collected)
                    for node in collections.keys() - set(usual.nodes):
                        # It has died since.
                        self._chosen.remove_node(node)
            self._chosen.schedule()

    return Scheduling()
