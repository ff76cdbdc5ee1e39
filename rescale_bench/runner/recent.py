"""A cache that forgets what was used longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any


class Recent:
    """Keep what was used last, up to a total weight; threads may share it."""

    def __init__(self, limit: float) -> None:
        """Set the limit, in the unit of the weights given to get."""
        self.limit, self.total = limit, 0.0
        self.lock = RLock()
        self.items: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any], weigh: Callable[[Any], float]) -> Any:
        """Return the item of a key, made now if it is not kept."""
        with self.lock:
            if key not in self.items:
                item = make()
                self.items[key] = (item, weigh(item))
                self.total += self.items[key][1]
                while self.total > self.limit and len(self.items) > 1:
                    _, (_, weight) = self.items.popitem(last=False)
                    self.total -= weight
            self.items.move_to_end(key)
            return self.items[key][0]
