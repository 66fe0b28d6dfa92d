"""The nouns of an iptables rule set: Ruleset › Table › Chain › Rule › Match, Target › Option."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from dataplane.errors import NOWHERE, Source


@dataclass(frozen=True)
class Option:
    """One option of a match or target, e.g. `! --dport 80` or `--tcp-flags SYN,ACK SYN`."""

    name: str  # with its dashes
    values: tuple[str, ...] = ()  # unquoted
    negated: bool = False


@dataclass(frozen=True)
class Match:
    """One `-m NAME …`.  The same name may stand in a rule several times."""

    name: str
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Target:
    """`-j NAME …` or `-g NAME`: a verdict, an extension, or a user chain."""

    name: str
    options: tuple[Option, ...] = ()
    goto: bool = False


@dataclass(frozen=True)
class Prefix:
    """`-s` or `-d`."""

    network: IPv4Network | IPv6Network
    negated: bool = False
    mask: int | None = None  # one that is no prefix, 255.0.255.0; `network` is one address then

    @property
    def netmask(self) -> int:
        """The bits of an address that are compared."""
        return int(self.network.netmask) if self.mask is None else self.mask


@dataclass(frozen=True)
class Interface:
    """`-i` or `-o`.  A trailing `+` matches every name that begins so."""

    name: str
    negated: bool = False


@dataclass(frozen=True)
class Protocol:
    """`-p`."""

    number: int  # IPPROTO_*
    negated: bool = False


@dataclass(frozen=True)
class Rule:
    """One `-A` line."""

    src: Prefix | None = None
    dst: Prefix | None = None
    in_interface: Interface | None = None
    out_interface: Interface | None = None
    protocol: Protocol | None = None
    fragment: bool | None = None  # `-f` True, `! -f` False
    matches: tuple[Match, ...] = ()
    target: Target | None = None  # None: the rule only counts
    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)
    source: Source = field(default=NOWHERE, compare=False)
    unread: str | None = None  # the words of a rule that could not be read: --lenient


@dataclass(frozen=True)
class Chain:
    """Rules in order.  `policy` is None for a user chain (`:NAME - [0:0]`)."""

    name: str
    policy: str | None
    rules: tuple[Rule, ...] = ()
    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Table:
    """One `*NAME … COMMIT` block."""

    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    source: Source = field(default=NOWHERE, compare=False)


@dataclass(frozen=True)
class Ruleset:
    """All tables of one family on one node."""

    tables: dict[str, Table] = field(default_factory=dict)
    flavour: str = "nft"  # legacy | nft: legacy counts policies, nft prints [0:0] for them
