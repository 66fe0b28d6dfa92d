"""The nouns of ipset: Ipset › SetEntry › SetElement, as `ipset save` prints them."""

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network

from dataplane.errors import NOWHERE, Source


@dataclass(frozen=True)
class SetElement:
    """What is in a set, by the parts that its type has; None for those it has not."""

    network: IPv4Network | IPv6Network | None = None  # an address is a network of one
    protocol: int | None = None  # …,port: IPPROTO_*; 1 and 58 have `port` = type << 8 | code
    port: int | None = None
    second: IPv4Network | IPv6Network | None = None  # ip,port,ip · ip,port,net · net,net
    device: str | None = None  # net,iface
    is_physical: bool = False  # net,iface: `physdev:NAME`
    is_wildcard: bool = False  # net,iface: every name that begins so
    mac: str | None = None  # lower case
    mark: int | None = None
    set_name: str | None = None  # list:set


@dataclass(frozen=True)
class SetEntry:
    """One `add` line."""

    element: SetElement
    nomatch: bool = False
    timeout: int | None = None  # seconds left; 0 = for ever; None = the set has no timeouts
    packets: int = 0
    bytes: int = 0
    comment: str | None = None
    skbmark: tuple[int, int] | None = None  # mark, mask
    skbprio: tuple[int, int] | None = None  # major, minor
    skbqueue: int | None = None
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Ipset:
    """One `create` line and what was added to it."""

    name: str
    type: str  # hash:ip, bitmap:port, list:set, …
    family: int = 4  # 4 | 6
    options: tuple[tuple[str, str], ...] = ()  # the rest of the line: (word, value or ""), in order
    entries: tuple[SetEntry, ...] = ()
    source: Source = field(default=NOWHERE, compare=False)

    def option(self, name: str) -> str | None:
        """The option's value ("" for a flag); None where it does not stand."""
        return self._options.get(name)

    @cached_property
    def _options(self) -> dict[str, str]:
        return dict(self.options)

    @property
    def parts(self) -> tuple[str, ...]:
        """What an element is made of: ("net", "port") of hash:net,port."""
        return tuple(self.type.partition(":")[2].split(","))
