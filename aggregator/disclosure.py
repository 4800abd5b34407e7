"""Selects the scopes to publish, so that no sum or difference of published figures is about few people. Pure.

Withholding a scope with few people is not enough: a reader who knows a total and the other parts can subtract. To
withhold more scopes against that is complementary suppression (Cox, "Suppression Methodology and Statistical Disclosure
Control", JASA 1980). Here cameras are grouped until every group has enough people or none, and a scope is published
when it consists of whole groups. Then every figure computed from published ones weighs all cameras of a group alike: a
set of cameras that a reader can single out also consists of whole groups, and has enough people or none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Cameras: TypeAlias = frozenset[str]


def publishable(scopes: Iterable[Cameras], people: Mapping[str, int], few: int) -> list[bool]:
    """Return which scopes may be published.

    Args:
        scopes: Sets of cameras.
        people: Number of readable people in front of each camera, for all cameras of the scopes.
        few: Figures of fewer people must not be published.

    Returns:
        For each scope, whether it has enough people and consists of whole groups.
    """
    scopes = list(scopes)
    groups = _groups([scope for scope in scopes if len(scope) > 1], people, few)
    return [
        _count(scope, people) >= few and all(group <= scope or group.isdisjoint(scope) for group in groups)
        for scope in scopes
    ]


def _groups(scopes: Sequence[Cameras], people: Mapping[str, int], few: int) -> list[Cameras]:
    """Group cameras until each group has enough people or none; too few people in total make one group.

    The smallest group joins the group with which it splits the fewest scopes: a camera joins its neighbour in a zone,
    so that the zone can still be published. Of several, it joins the smallest, and of those the first by name.
    """
    groups = [frozenset([camera]) for camera in sorted(people) if people[camera]]
    while len(groups) > 1:
        smallest = min(groups, key=lambda group: _count(group, people))
        if _count(smallest, people) >= few:
            break
        groups.remove(smallest)
        other = min(groups, key=lambda group: (_divided(scopes, smallest, group), _count(group, people)))
        groups[groups.index(other)] = other | smallest
    return groups


def _divided(scopes: Sequence[Cameras], one: Cameras, other: Cameras) -> int:
    """Return the number of scopes that contain one group as a whole and no camera of the other."""
    return sum(
        (one <= scope and other.isdisjoint(scope)) or (other <= scope and one.isdisjoint(scope)) for scope in scopes
    )


def _count(cameras: Cameras, people: Mapping[str, int]) -> int:
    return sum(people[camera] for camera in cameras)
