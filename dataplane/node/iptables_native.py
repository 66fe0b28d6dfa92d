"""What iptables-nft prints otherwise than iptables-legacy: of what it loads as expressions of
nf_tables, and reads back from them.  Asked of iptables 1.8.9."""

from dataplane.node.iptables_forms import span_text
from dataplane.node.iptables_rules import Option


def native_options(name: str, options: list[Option]) -> list[Option]:
    """Options in normal form, as the flavour nft prints them."""
    if name in ("tcp", "udp") and not any(o.name == "--tcp-option" for o in options):
        return [_upper_range(option) for option in options]
    if name == "limit":  # nft_limit.c takes none for 5
        return [o for o in options if (o.name, o.values) != ("--limit-burst", ("0",))]
    if name == "NFLOG":
        return [option for option in options if option.name != "--nflog-range"]
    return options


def _upper_range(option: Option) -> Option:
    """`! --dport 0:99` is one comparison, which reads as `--dport 100:65535`."""
    if not option.negated or option.name not in ("--sport", "--dport"):
        return option
    first, colon, last = option.values[0].partition(":")
    if not colon or first != "0" or last == "65535":
        return option
    return Option(option.name, (span_text(int(last) + 1, 65535),))
