"""A rule while its words are read."""

from dataclasses import dataclass, field

from dataplane.node.iptables_rules import Interface, Option, Prefix, Protocol


@dataclass(slots=True)
class Extension:
    """A match or target that has been opened and may still get options."""

    name: str
    known: dict[str, int] | None  # None: not listed, may have any option
    is_target: bool = False
    goto: bool = False
    options: list[Option] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """A rule while its words are read."""

    words: list[str]
    family: int  # 4, 6, or 0 when the text does not say
    counters: tuple[int, int]  # packets, bytes
    flavour: str = ""  # legacy, nft, or nothing when the text does not say
    sources: list[Prefix | None] = field(default_factory=lambda: [None])
    destinations: list[Prefix | None] = field(default_factory=lambda: [None])
    in_interface: Interface | None = None
    out_interface: Interface | None = None
    protocol: Protocol | None = None
    fragment: bool | None = None
    opened: list[Extension] = field(default_factory=list)  # matches and target, in order
    other_family: bool = False  # `-4` in an ip6tables-save, or `-6` in an iptables-save
    seen: set[str] = field(default_factory=set)  # options that may stand once
