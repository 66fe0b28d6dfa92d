"""A built node as a folder of what its own tools print."""

from pathlib import Path

from tests.kernel.netns import Namespace

COMMANDS = {
    "links.json": ("ip", "-j", "-d", "link"),
    "addresses.json": ("ip", "-j", "addr"),
    "routes.json": ("ip", "-j", "route", "show", "table", "all"),
    "routes6.json": ("ip", "-j", "-6", "route", "show", "table", "all"),
    "rules.json": ("ip", "-j", "rule"),
    "neighbours.json": ("ip", "-j", "neigh"),
    "fdb.json": ("bridge", "-j", "fdb"),
    "conntrack": ("conntrack", "-L"),
}

# What forwarding, bridging, NAT and connection tracking depend on.  The rest of `sysctl -a`
# differs from kernel to kernel and says nothing of a packet's way.
CONF = (
    "accept_local", "accept_source_route", "forwarding", "route_localnet", "rp_filter",
    "send_redirects", "shared_media",
)  # fmt: skip
SYSCTLS = (
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-filter-vlan-tagged",
    *(f"net.ipv4.conf.{place}.{key}" for place in ("all", "default") for key in CONF),
    "net.ipv4.fib_multipath_hash_policy",
    "net.ipv4.icmp_errors_use_inbound_ifaddr",
    "net.ipv4.icmp_msgs_burst",
    "net.ipv4.icmp_msgs_per_sec",
    "net.ipv4.icmp_ratelimit",
    "net.ipv4.icmp_ratemask",
    "net.ipv4.ip_default_ttl",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_forward_use_pmtu",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_no_pmtu_disc",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.icmp.ratelimit",
    "net.ipv6.icmp.ratemask",
    "net.netfilter.nf_conntrack_acct",
    "net.netfilter.nf_conntrack_checksum",
    "net.netfilter.nf_conntrack_generic_timeout",
    "net.netfilter.nf_conntrack_icmp_timeout",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    "net.netfilter.nf_conntrack_tcp_ignore_invalid_rst",
    "net.netfilter.nf_conntrack_tcp_loose",
    "net.netfilter.nf_conntrack_tcp_timeout_close",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "net.netfilter.nf_conntrack_tcp_timeout_fin_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_last_ack",
    "net.netfilter.nf_conntrack_tcp_timeout_max_retrans",
    "net.netfilter.nf_conntrack_tcp_timeout_syn_recv",
    "net.netfilter.nf_conntrack_tcp_timeout_syn_sent",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
    "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged",
    "net.netfilter.nf_conntrack_udp_timeout",
    "net.netfilter.nf_conntrack_udp_timeout_stream",
)


def dump(node: Namespace, folder: Path, flavour: str = "nft") -> None:
    """Write the node's folder: a file per tool that has something to say."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in COMMANDS.items():
        write(folder / name, node.run(*command))
    for family in ("", "6"):
        tool = f"ip{family}tables-{flavour}-save"
        write(folder / f"ip{family}tables-save", node.run(tool, "-c"))
    write(folder / "sysctl", sysctl_text(node))


def write(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    if text.strip() not in ("", "[]", "[ ]"):
        path.write_text(text)


def sysctl_text(node: Namespace) -> str:
    lines = []
    for name in SYSCTLS:
        if (value := node.sysctl(name)) is not None:
            lines.append(f"{name} = {value}\n")
    return "".join(lines)
