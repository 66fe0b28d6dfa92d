import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.errors import DataplaneError, ParseError
from dataplane.node import sysctl
from tests.node import strategies


@given(strategies.sysctls)
def test_parse_inverts_render(settings):
    assert sysctl.parse(sysctl.render(settings), "x") == settings


LINES = [
    ("net.ipv4.ip_forward = 1", {"net.ipv4.ip_forward": "1"}),
    ("net.ipv4.ip_forward=1\r", {"net.ipv4.ip_forward": "1"}),
    ("net/ipv4/ip_forward = 1", {"net.ipv4.ip_forward": "1"}),
    ("net.ipv4.conf.eth0/5.rp_filter = 0", {"net.ipv4.conf.eth0/5.rp_filter": "0"}),
    ("net/ipv4/conf/eth0.5/rp_filter = 0", {"net.ipv4.conf.eth0/5.rp_filter": "0"}),
    (
        "net.ipv4.ip_local_port_range = 32768\t60999",
        {"net.ipv4.ip_local_port_range": "32768 60999"},
    ),
    ("kernel.core_pattern = |/bin/x a=b", {"kernel.core_pattern": "|/bin/x a=b"}),
    ("kernel.domainname = ", {"kernel.domainname": ""}),
    ("-net.ipv4.ip_forward = 1", {"net.ipv4.ip_forward": "1"}),
    ("a.b = 1\na.b = 2", {"a.b": "2"}),
    ("# comment\n; comment\n\nsysctl: permission denied on key 'x'", {}),
]


@pytest.mark.parametrize(("text", "settings"), LINES)
def test_lines(text, settings):
    assert sysctl.parse(text, "x") == settings


@pytest.mark.parametrize("line", ["net.ipv4.ip_forward", "= 1", "a b = 1"])
def test_refused(line):
    with pytest.raises(ParseError, match=r"^x:2: cannot read .*'a\.b\.c = value' was expected"):
        sysctl.parse(f"\n{line}", "x")


@given(st.lists(st.sampled_from(("a", ".", "/", "=", " ", "\n", "-", "#", "\x85"))).map("".join))
def test_parse_raises_nothing_but_errors_with_a_place(text):
    try:
        settings = sysctl.parse(text, "x")
    except DataplaneError as error:
        assert str(error).startswith("x:")
    else:
        assert sysctl.parse(sysctl.render(settings), "x") == settings
