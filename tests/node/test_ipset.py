"""`ipset save`: what comes back, what is refused, and what a kernel's own ipset makes of it."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings

from dataplane.errors import ParseError
from dataplane.node import ipset
from tests.node.strategies_ipset import SIMPLE, ipsets


@given(ipsets())
def test_parse_inverts_render(sets):
    assert ipset.parse(ipset.render(sets), "x") == sets


IP = "create a hash:ip family inet"


@pytest.mark.parametrize(
    ("head", "written", "printed"),
    [
        ("hash:ip", "10.0.0.8/31", ["10.0.0.8", "10.0.0.9"]),
        ("hash:ip", "10.0.0.1-10.0.0.3", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("hash:ip netmask 24", "10.0.1.9", ["10.0.1.0"]),
        ("hash:ip netmask 24", "10.0.0.9-10.0.2.1", ["10.0.0.0", "10.0.1.0", "10.0.2.0"]),
        ("hash:ip bitmask 255.255.0.255", "10.0.7.9", ["10.0.0.9"]),
        ("hash:net", "10.0.0.1", ["10.0.0.1"]),
        ("hash:net", "10.0.0.9/8", ["10.0.0.0/8"]),
        ("hash:net", "10.0.0.10-10.0.0.13", ["10.0.0.10/31", "10.0.0.12/31"]),
        ("hash:net family inet6", "fd00::1/64", ["fd00::/64"]),
        ("hash:ip,port", "10.0.0.1,80", ["10.0.0.1,tcp:80"]),
        ("hash:ip,port", "10.0.0.1,udp:domain", ["10.0.0.1,udp:53"]),
        ("hash:ip,port", "10.0.0.1,sctp:80-81", ["10.0.0.1,sctp:80", "10.0.0.1,sctp:81"]),
        ("hash:ip,port", "10.0.0.1,icmp:8/0", ["10.0.0.1,icmp:echo-request"]),
        ("hash:ip,port", "10.0.0.1,icmp:8/1", ["10.0.0.1,icmp:8/1"]),
        ("hash:ip,port", "10.0.0.1,47:0", ["10.0.0.1,gre:0"]),
        ("hash:ip,port family inet6", "::1,icmpv6:1/4", ["::1,ipv6-icmp:port-unreachable"]),
        ("hash:net,iface", "0.0.0.0/0,physdev:eth0", ["0.0.0.0/0,physdev:eth0"]),
        ("hash:ip,mark markmask 0xff00", "10.0.0.1,0x1234", ["10.0.0.1,0x00001200"]),
        ("hash:mac", "02:0:0:0:ab:1", ["02:00:00:00:AB:01"]),
        ("bitmap:ip range 10.0.0.0/24", "10.0.0.5-10.0.0.6", ["10.0.0.5", "10.0.0.6"]),
        ("bitmap:ip,mac range 10.0.0.0/24", "10.0.0.5", ["10.0.0.5"]),
        ("bitmap:port range 0-100", "udp:7-8", ["7", "8"]),
    ],
)
def test_normal_form(head, written, printed):
    lines = ipset.render(ipset.parse(f"create a {head}\nadd a {written}\n", "x")).splitlines()
    assert [line.removeprefix("add a ") for line in lines[1:]] == printed


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("add a 10.0.0.1", 1),
        ("create a hash:foo", 1),
        ("create a hash:ip size 4", 1),
        ("create a hash:ip timeout", 1),
        ("create a hash:ip timeout -1", 1),
        ("create a hash:ip timeout 4294967", 1),
        ("create a bitmap:ip", 1),
        ("create a bitmap:ip range 10.0.0.0", 0),
        (f"create {'a' * 32} hash:ip", 1),
        (f"{IP}\nadd a fd00::1", 2),
        (f"{IP}\nadd a 10.0.0.1,tcp:80", 2),
        (f"{IP}\nadd a 10.0.0.1 timeout 3", 2),
        (f"{IP}\nadd a 10.0.0.1 nomatch", 2),
        (f"{IP}\nadd a 0.0.0.0/0", 2),
        (f'{IP} comment\nadd a 10.0.0.1 comment "x', 2),
        (f"{IP}\nadd a", 2),
        (f"{IP}\n-A INPUT -j DROP", 2),
        (f"{IP}\nflush", 2),
        ("create a hash:net\nadd a 10.0.0.0/33", 2),
        ("create a hash:net\nadd a 0.0.0.0/0", 2),
        ("create a hash:ip,port\nadd a 10.0.0.1,foo:3", 2),
        ("create a hash:ip,port\nadd a 10.0.0.1,gre:3", 2),
        ("create a bitmap:port range 0-10\nadd a 11", 2),
        ("create a bitmap:ip range 10.0.0.0/24\nadd a 10.0.1.1", 2),
        ("create l list:set\nadd l a", 2),
        ("create l list:set\ncreate m list:set\nadd l m", 3),
    ],
)
def test_errors_by_line(text, line):
    if not line:
        assert ipset.parse(text, "x")
        return
    with pytest.raises(ParseError, match=f"^x:{line}: "):
        ipset.parse(text, "x")


def test_around_a_dump():
    told = []
    text = f"root@node-a:~# ipset save\r\n{IP}\r\nadd a 10.0.0.1\r\n\r\nroot@node-a:~# exit\r\n"
    (found,) = ipset.parse(text + text, "x", told.append)
    assert [str(entry.element.network) for entry in found.entries] == ["10.0.0.1/32"]
    assert told == ["x:7: set a stands twice; this one replaces the first, at x:2"]


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(shutil.which("ipset") is None, reason="needs ipset")
def test_a_kernel_takes_what_is_printed_and_prints_it_back():
    types = [kind for kind in SIMPLE if has_type(kind)]

    @settings(max_examples=30)
    @given(ipsets(types))
    def comes_back(sets):
        text = ipset.render(sets)
        saved = ipset.parse(reload(text), "saved")
        assert [lines_of(s) for s in saved] == [lines_of(s) for s in sets]

    comes_back()


FORGOTTEN = ("hashsize", "bucketsize", "initval")


def lines_of(found):
    """Without what the kernel adds; a hash has no order, a timeout may have lost a second."""
    options = {word: value for word, value in found.options if word not in FORGOTTEN}
    entries = [{**entry.__dict__, "source": None} for entry in found.entries]
    for entry in entries:
        if entry["timeout"]:
            entry["timeout"] = -(-entry["timeout"] // 10)
    if found.type != "list:set":
        entries.sort(key=repr)
    return found.name, found.type, found.family, options, entries


def has_type(kind):
    options = " range 10.0.0.0/24" if kind.startswith("bitmap:ip") else ""
    options = " range 0-10" if kind == "bitmap:port" else options
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f"ipset create x {kind}{options}"], capture_output=True
    )
    return done.returncode == 0


def reload(text):
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", "ipset restore && ipset save"],
        input=text, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr}\n{text}"
    return done.stdout
