"""Accounting objects, which rules with `-m nfacct` refer to; kube-proxy makes two of its own.

Spoken in netlink, since the `nfacct` command is seldom installed.
"""

import os
import socket
import struct

from dataplane.node.iptables import Ruleset
from tests.kernel.netns import Namespace

NETLINK_NETFILTER, SUBSYSTEM_ACCT, MESSAGE_NEW = 12, 7, 0  # linux/netfilter/nfnetlink*.h
REQUEST_AND_ACKNOWLEDGE, CREATE_OR_RESET = 0x5, 0x500  # NLM_F_*; _CREATE | _REPLACE
NAME_ATTRIBUTE, MESSAGE_ERROR = 1, 2  # NFACCT_NAME, NLMSG_ERROR


def names_in(ruleset: Ruleset) -> set[str]:
    """The accounting objects that must exist before the rules can be loaded."""
    return {
        value
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        for rule in chain.rules
        for match in rule.matches
        if match.name == "nfacct"
        for option in match.options
        for value in option.values
    }


def add(namespace: Namespace, name: str) -> None:
    """The object is there, and its counters are zero."""
    text = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), NAME_ATTRIBUTE) + text
    body = struct.pack("=BBH", 0, 0, 0) + attribute.ljust(-(-len(attribute) // 4) * 4, b"\0")
    kind, flags = SUBSYSTEM_ACCT << 8 | MESSAGE_NEW, REQUEST_AND_ACKNOWLEDGE | CREATE_OR_RESET
    message = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body
    with (
        namespace.inside(),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel,
    ):
        kernel.send(message)
        answer = kernel.recv(4096)
    _, kind, _, _, _, error = struct.unpack("=IHHIIi", answer[:20])
    if kind != MESSAGE_ERROR or error:  # an acknowledgement is the error 0
        raise OSError(-error, f"nfacct {name}: {os.strerror(-error)}")
