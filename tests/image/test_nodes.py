"""What stands at a node's hooks, and what its kernel is set to."""

from dataclasses import replace

import pytest

from _fastpath.image import Hook, HookKind
from _fastpath.state import CtTimeout
from dataplane.errors import TableError
from dataplane.image.image import assemble
from dataplane.node.iptables import parse
from dataplane.node.state import NodeState

NAT = "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
NAT += "-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
ALL = (
    "*security\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
    "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
    "*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n"
    ":POSTROUTING ACCEPT\nCOMMIT\n"
    "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n"
)
TABLES = ["raw", "mangle", "nat", "filter", "security"]


def hooks(text, family=4, flavour="legacy"):
    """{hook: what stands there, in order}: tables by name, and kinds of other entries."""
    rules = replace(parse(text, "save", family), flavour=flavour)
    sets = {"iptables" if family == 4 else "ip6tables": rules}
    arrays = assemble({"n": NodeState("n", **sets)}).arrays
    node, found = arrays["nodes"][0], {}
    for hook in (h for h in Hook if h != Hook.HOOKS):
        column = (0 if family == 4 else Hook.HOOKS) + hook
        start = int(node["hook_start"][column])
        rows = arrays["hooks"][start : start + int(node["hook_count"][column])]
        found[hook.name.removeprefix("HOOK_")] = [said(row) for row in rows]
    return found


def said(row):
    if row["kind"] == HookKind.ENTRY_TABLE:
        return TABLES[row["table"]]
    return HookKind(int(row["kind"])).name.removeprefix("ENTRY_").lower()


@pytest.mark.parametrize("family", [4, 6])
def test_entries_stand_in_the_order_of_linux(family):
    assert hooks(ALL + NAT, family) == {
        "PREROUTING": ["defrag", "raw", "conntrack", "mangle", "nat"],
        "INPUT": ["mangle", "filter", "security", "nat", "confirm"],
        "FORWARD": ["mangle", "filter", "security"],
        "OUTPUT": ["defrag", "raw", "conntrack", "mangle", "nat", "filter", "security"],
        "POSTROUTING": ["mangle", "nat", "confirm"],
    }


def test_security_stands_behind_source_nat_in_nft():
    found = hooks(ALL + NAT, flavour="nft")["INPUT"]
    assert found == ["mangle", "filter", "nat", "security", "confirm"]


def test_families_have_hooks_of_their_own():
    both = NodeState("n", iptables=parse(NAT, "save"), ip6tables=parse("", "save", 6))
    node = assemble({"n": both}).arrays["nodes"][0]
    assert node["hook_count"].tolist() == [3, 2, 0, 3, 2, 0, 0, 0, 0, 0]


def test_without_rules_that_ask_nothing_is_tracked():
    found = hooks("*filter\n:INPUT ACCEPT\n-A INPUT -j ACCEPT\nCOMMIT\n")
    assert found == {"PREROUTING": [], "INPUT": ["filter"], "FORWARD": [], "OUTPUT": [],
                     "POSTROUTING": []}  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        "-m conntrack --ctstate NEW",
        "-m state --state NEW",
        "-m connmark --mark 0x1",
        "-j CONNMARK --save-mark",
    ],
)
def test_a_rule_that_asks_makes_all_packets_tracked(rule):
    found = hooks(f"*mangle\n:INPUT ACCEPT\n:U - [0:0]\n-A U {rule}\nCOMMIT\n")
    assert "conntrack" in found["PREROUTING"]
    assert "confirm" in found["POSTROUTING"]
    assert "nat" not in found["PREROUTING"]


@pytest.mark.parametrize("rule", ["-j CT --notrack", "-j ACCEPT"])
def test_neither_notrack_nor_a_nat_table_makes_packets_tracked(rule):
    found = hooks(f"*raw\n:OUTPUT ACCEPT\n-A OUTPUT {rule}\nCOMMIT\n*nat\n:OUTPUT ACCEPT\nCOMMIT\n")
    assert "conntrack" not in found["PREROUTING"]
    assert "confirm" not in found["POSTROUTING"]
    assert "nat" in found["OUTPUT"]


def test_nat_without_a_chain_at_a_hook_is_there_nevertheless():
    """Null bindings are made for every new connection."""
    found = hooks("*nat\n:PREROUTING ACCEPT\nCOMMIT\n")
    assert "nat" in found["POSTROUTING"]


def setting(field, **sysctls):
    names = {name.replace("__", "."): value for name, value in sysctls.items()}
    return assemble({"n": NodeState("n", sysctls=names)}).arrays["nodes"][0][field]


def test_what_a_kernel_is_set_to_by_itself():
    assert (setting("port_low"), setting("port_high")) == (32768, 60999)
    assert setting("default_ttl") == 64
    assert setting("conntrack_max") == 262144
    assert (setting("tcp_loose"), setting("tcp_be_liberal")) == (1, 0)
    timeouts = setting("timeouts")
    assert timeouts[CtTimeout.TIMEOUT_TCP_ESTABLISHED] == 432000
    assert timeouts[CtTimeout.TIMEOUT_UDP] == 30


def test_settings_are_read():
    assert setting("port_low", net__ipv4__ip_local_port_range="1024 2048") == 1024
    assert setting("default_ttl", net__ipv4__ip_default_ttl="7") == 7
    assert setting("forwarding", net__ipv4__ip_forward="0").tolist() == [0, 0]
    found = setting("timeouts", net__netfilter__nf_conntrack_tcp_timeout_close_wait="3600")
    assert found[CtTimeout.TIMEOUT_TCP_CLOSE_WAIT] == 3600


@pytest.mark.parametrize("value", ["", "x", "-1", "2", "1 1", "0x1"])
def test_a_flag_that_is_none_is_refused(value):
    with pytest.raises(TableError, match=r"net\.ipv4\.ip_forward"):
        setting("forwarding", net__ipv4__ip_forward=value)
