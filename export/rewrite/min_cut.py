"""The cheapest way to give every operation of a graph one of two layouts: a minimum cut, by Dinic's algorithm."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

_ENDLESS = 1 << 62


@dataclass
class Cut:
    """Vertices are hashable objects. Those on the side of `channels_first` in the end are channels-first."""

    channels_first: Hashable = "channels first"
    channels_last: Hashable = "channels last"
    _room: dict[Hashable, dict[Hashable, int]] = field(default_factory=dict)

    def tensor(self, name: str, maker: Hashable, readers: Iterable[Hashable], cost: int) -> None:
        """A tensor made by `maker`, which costs `cost` once if any of its readers is on the other side."""
        as_first, as_last = (name, "first"), (name, "last")
        self._edge(as_first, maker, cost)
        self._edge(maker, as_last, cost)
        for reader in readers:
            self._edge(reader, as_first, _ENDLESS)
            self._edge(as_last, reader, _ENDLESS)

    def solve(self) -> set[Hashable]:
        """The vertices on the side of `channels_first`. Of equally cheap cuts, the one with the most of them."""
        self._edge(self.channels_first, self.channels_last, 0)
        while (level := self._levels()).get(self.channels_last) is not None:
            unused = {vertex: [*edges] for vertex, edges in self._room.items()}
            while self._push(level, unused):
                pass
        reaching = {self.channels_last}
        waiting = [self.channels_last]
        while waiting:
            vertex = waiting.pop()
            for other in self._room[vertex]:
                if other not in reaching and self._room[other].get(vertex, 0) > 0:
                    reaching.add(other)
                    waiting.append(other)
        return set(self._room) - reaching

    def _edge(self, start: Hashable, end: Hashable, room: int) -> None:
        forward = self._room.setdefault(start, {})
        forward[end] = forward.get(end, 0) + room
        self._room.setdefault(end, {}).setdefault(start, 0)

    def _levels(self) -> dict[Hashable, int]:
        """How many edges with room left lead from the source to each vertex."""
        level = {self.channels_first: 0}
        front = [self.channels_first]
        while front:
            reached = [
                other
                for vertex in front
                for other, room in self._room[vertex].items()
                if room > 0 and other not in level
            ]
            depth = level[front[0]] + 1
            front = [*dict.fromkeys(reached)]
            level |= dict.fromkeys(front, depth)
        return level

    def _push(self, level: dict[Hashable, int], unused: dict[Hashable, list[Hashable]]) -> bool:
        """Send what one more path has room for. False when there is none left at these levels."""
        path: list[Hashable] = [self.channels_first]
        while path[-1] != self.channels_last:
            here = path[-1]
            edges = unused[here]
            while edges and not (self._room[here][edges[-1]] > 0 and level.get(edges[-1]) == level[here] + 1):
                edges.pop()
            if edges:
                path.append(edges[-1])
            elif len(path) == 1:
                return False
            else:
                path.pop()
                unused[path[-1]].pop()
        steps = [*pairwise(path)]
        amount = min(self._room[start][end] for start, end in steps)
        for start, end in steps:
            self._room[start][end] -= amount
            self._room[end][start] += amount
        return True
