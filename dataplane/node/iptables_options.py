"""Which options each extension has, and how many values each takes.

The options of an extension stand in the order in which iptables-save prints them (the
`save` functions of extensions/libxt_*.c, libipt_*.c and libip6t_*.c, v1.8.9).  `name` takes
one value, `name:0` none, `name:2` two, `name:?` perhaps one.  An extension that is not listed
may have any options; those take all words up to the next that starts with `-` or is `!`.
"""

from collections.abc import Iterable

from dataplane.node.iptables_rules import Option

OPTIONAL = -1  # as many values as an option takes that may have one


def _options(text: str) -> dict[str, int]:
    pairs = (word.partition(":") for word in text.split())
    return {f"--{name}": OPTIONAL if count == "?" else int(count or 1) for name, _, count in pairs}


MATCHES: dict[str, dict[str, int]] = {
    name: _options(options)
    for name, options in {
        # protocols
        "tcp": "sport dport tcp-option tcp-flags:2",
        "udp": "sport dport",
        "udplite": "sport dport",
        "sctp": "sport dport chunk-types:2",
        "dccp": "sport dport dccp-types dccp-option",
        "icmp": "icmp-type",
        "icmp6": "icmpv6-type",
        "ah": "ahspi ahlen ahres:0",
        "esp": "espspi",
        "ipcomp": "ipcompspi compres:0",
        "mh": "mh-type",
        "multiport": "sports dports ports",
        # the packet
        "mark": "mark",
        "length": "length",
        "mac": "mac-source",
        "pkttype": "pkt-type",
        "ttl": "ttl-eq ttl-gt ttl-lt",
        "hl": "hl-eq hl-gt hl-lt",
        "tos": "tos",
        "dscp": "dscp dscp-class",
        "ecn": "ecn-tcp-ece:0 ecn-tcp-cwr:0 ecn-ip-ect",
        "tcpmss": "mss",
        "string": "string hex-string algo from to icase:0",
        "u32": "u32",
        "bpf": "bytecode object-pinned",
        "osf": "genre ttl log",
        # addresses and devices
        "addrtype": "src-type dst-type limit-iface-in:0 limit-iface-out:0",
        "iprange": "src-range dst-range",
        "set": "match-set:2 return-nomatch:0 update-counters:0 update-subcounters:0 "
        "packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt",
        "physdev": "physdev-is-in:0 physdev-in physdev-is-out:0 physdev-out physdev-is-bridged:0",
        "rpfilter": "loose:0 validmark:0 accept-local:0 invert:0",
        "devgroup": "src-group dst-group",
        "realm": "realm",
        "policy": "dir pol strict:0 reqid spi proto mode tunnel-dst tunnel-src next:0",
        "eui64": "",
        # connections
        "conntrack": "ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport "
        "ctorigdstport ctreplsrcport ctrepldstport ctstatus ctexpire ctdir",
        "state": "state",
        "connmark": "mark",
        "connbytes": "connbytes connbytes-mode connbytes-dir",
        "connlabel": "label set:0",
        "connlimit": "connlimit-upto connlimit-above connlimit-mask connlimit-saddr:0 "
        "connlimit-daddr:0",
        "helper": "helper",
        "socket": "transparent:0 nowildcard:0 restore-skmark:0",
        "ipvs": "ipvs:0 vproto vaddr vport vdir vmethod vportctl",
        "cluster": "cluster-local-node cluster-local-nodemask cluster-total-nodes "
        "cluster-hash-seed",
        # the sender
        "owner": "socket-exists:0 uid-owner gid-owner suppl-groups:0",
        "cgroup": "path cgroup",
        "cpu": "cpu",
        # memories and counters
        "limit": "limit limit-burst",
        "hashlimit": "hashlimit-upto hashlimit-above hashlimit-burst hashlimit-mode "
        "hashlimit-name hashlimit-htable-size hashlimit-htable-max hashlimit-htable-gcinterval "
        "hashlimit-htable-expire hashlimit-srcmask hashlimit-dstmask hashlimit-rate-match:0 "
        "hashlimit-rate-interval",
        "recent": "set:0 rcheck:0 update:0 remove:0 seconds reap:0 hitcount rttl:0 name mask "
        "rsource:0 rdest:0",
        "statistic": "mode probability every packet",
        "nfacct": "nfacct-name",
        "rateest": "rateest-delta:0 rateest rateest1 rateest-bps1:? rateest-pps1:? rateest-lt:0 "
        "rateest-gt:0 rateest-eq:0 rateest-bps:? rateest-pps:? rateest-bps2:? rateest-pps2:? "
        "rateest2",
        "quota": "quota",
        "time": "timestart timestop monthdays weekdays datestart datestop kerneltz:0 contiguous:0 "
        "utc:0 localtz:0",
        "comment": "comment",
        # IPv6 headers
        "ipv6header": "header soft:0",
        "frag": "fragid fraglen fragres:0 fragfirst:0 fragmore:0 fraglast:0",
        "dst": "dst-len dst-opts",
        "hbh": "hbh-len hbh-opts",
        "rt": "rt-type rt-segsleft rt-len rt-0-res:0 rt-0-addrs rt-0-not-strict:0",
        "srh": "srh-next-hdr srh-hdr-len-eq srh-hdr-len-gt srh-hdr-len-lt srh-segs-left-eq "
        "srh-segs-left-gt srh-segs-left-lt srh-last-entry-eq srh-last-entry-gt "
        "srh-last-entry-lt srh-tag srh-psid srh-nsid srh-lsid",
    }.items()
}

TARGETS: dict[str, dict[str, int]] = {
    name: _options(options)
    for name, options in {
        "ACCEPT": "",
        "DROP": "",
        "RETURN": "",
        "QUEUE": "",
        # addresses and ports
        "DNAT": "to-destination random:0 persistent:0",
        "SNAT": "to-source random:0 random-fully:0 persistent:0",
        "MASQUERADE": "to-ports random:0 random-fully:0",
        "REDIRECT": "to-ports random:0",
        "NETMAP": "to",
        "TPROXY": "on-port on-ip tproxy-mark",
        "CLUSTERIP": "new:0 hashmode clustermac total-nodes local-node hash-init",
        "DNPT": "src-pfx dst-pfx",
        "SNPT": "src-pfx dst-pfx",
        # marks
        "MARK": "set-xmark",
        "CONNMARK": "set-xmark save-mark:0 restore-mark:0 nfmask ctmask mask",
        "CONNSECMARK": "save:0 restore:0",
        "SECMARK": "selctx",
        "CLASSIFY": "set-class",
        "HMARK": "hmark-src-prefix hmark-dst-prefix hmark-sport-mask hmark-dport-mask "
        "hmark-spi-mask hmark-sport hmark-dport hmark-spi hmark-proto-mask hmark-rnd hmark-mod "
        "hmark-offset hmark-tuple",
        "SET": "add-set:2 del-set:2 map-set:2 exist:0 timeout map-mark:0 map-prio:0 map-queue:0",
        # connections
        "CT": "notrack:0 helper timeout ctevents expevents zone-orig zone-reply zone",
        "NOTRACK": "",
        "SYNPROXY": "sack-perm:0 timestamp:0 wscale mss ecn:0",
        # header edits
        "TCPMSS": "set-mss clamp-mss-to-pmtu:0",
        "TCPOPTSTRIP": "strip-options",
        "CHECKSUM": "checksum-fill:0",
        "TTL": "ttl-set ttl-dec ttl-inc",
        "HL": "hl-set hl-dec hl-inc",
        "TOS": "set-tos",
        "DSCP": "set-dscp set-dscp-class",
        "ECN": "ecn-tcp-remove:0 ecn-tcp-ece ecn-tcp-cwr ecn-ip-ect",
        # answers and reports
        "REJECT": "reject-with",
        "LOG": "log-prefix log-level log-tcp-sequence:0 log-tcp-options:0 log-ip-options:0 "
        "log-uid:0 log-macdecode:0",
        "NFLOG": "nflog-prefix nflog-group nflog-range nflog-size nflog-threshold",
        "ULOG": "ulog-prefix ulog-nlgroup ulog-cprange ulog-qthreshold",
        "NFQUEUE": "queue-num queue-balance queue-bypass:0 queue-cpu-fanout:0",
        "TRACE": "",
        "AUDIT": "type",
        "TEE": "gateway oif",
        "IDLETIMER": "timeout label alarm:0",
        "RATEEST": "rateest-name rateest-interval rateest-ewmalog",
        "LED": "led-trigger-id led-delay led-always-blink:0",
    }.items()
}

# Other ways to write an option: (extension, option) to the option and its count of values.
# What an option of another form means is iptables_normal's to say.
ALIASES: dict[tuple[str, str], tuple[str, int]] = {
    **{
        (protocol, f"--{long}-port"): (f"--{short}port", 1)
        for protocol in ("tcp", "udp", "udplite", "sctp", "dccp")
        for long, short in (("source", "s"), ("destination", "d"))
    },
    ("tcp", "--syn"): ("--syn", 0),
    ("multiport", "--source-ports"): ("--sports", 1),
    ("multiport", "--destination-ports"): ("--dports", 1),
    ("set", "--set"): ("--match-set", 2),
    ("hashlimit", "--hashlimit"): ("--hashlimit-upto", 1),
    ("ttl", "--ttl"): ("--ttl-eq", 1),
    ("hl", "--hl"): ("--hl-eq", 1),
    **{
        (target, f"--{verb}-mark"): (f"--{verb}-mark", 1)
        for target in ("MARK", "CONNMARK")
        for verb in ("set", "and", "or", "xor")
    },
    **{("TOS", f"--{verb}-tos"): (f"--{verb}-tos", 1) for verb in ("and", "or", "xor")},
}

# Other names of matches (xtables.c, xtables_find_match, v1.8.9).
MATCH_ALIASES = {"icmpv6": "icmp6", "ipv6-icmp": "icmp6"}

# Options whose value is text: it may begin with a dash or be `!`.  iptables-save quotes the
# first kind unless it is a plain word, the second always.
SAVED_AS_STRING = frozenset(
    (
        "--comment",
        "--helper",
        "--log-prefix",
        "--nflog-prefix",
        "--ulog-prefix",
        "--nfacct-name",
        "--path",
    )
)
ALWAYS_QUOTED = frozenset(
    (
        ("string", "--string"),
        ("string", "--hex-string"),
        ("u32", "--u32"),
        ("bpf", "--bytecode"),
        ("connlabel", "--label"),
        ("LED", "--led-trigger-id"),
    )
)
TEXT = SAVED_AS_STRING | {option for _, option in ALWAYS_QUOTED}

# The match that `-p NAME --option` loads by itself (xshared.c, find_proto, v1.8.9).
PROTOCOL_MATCHES = {
    6: "tcp",
    17: "udp",
    136: "udplite",
    132: "sctp",
    33: "dccp",
    1: "icmp",
    58: "icmp6",
    51: "ah",
    50: "esp",
    135: "mh",
}


def are_listed(name: str, options: Iterable[Option], is_target: bool = False) -> bool:
    """Each is an option that this match or target has, with as many values as it takes."""
    known = (TARGETS if is_target else MATCHES).get(name, {})
    for option in options:  # noqa: SIM110  `all` takes twice as long, for every match of every rule
        if known.get(option.name) != len(option.values):
            return False
    return True
