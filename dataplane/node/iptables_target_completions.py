"""What is printed of a target although it was not written, and what depends on more than one of
its options.  Each takes the options in their own forms; asked of iptables 1.8.9."""

from dataplane.node import iptables_forms as forms
from dataplane.node.iptables_forms_address import prefix_length
from dataplane.node.iptables_forms_rate import estimator_times
from dataplane.node.iptables_given import named, value, with_defaults, without
from dataplane.node.iptables_match_completions import Completion
from dataplane.node.iptables_names import HMARK_PARTS, REJECTS
from dataplane.node.iptables_rules import Option


def _connmark(found: list[Option], family: int) -> list[Option]:
    """`--save-mark` and `--restore-mark` have two masks, which `--mask` sets both."""
    if not named(found, "--save-mark", "--restore-mark"):
        return found
    mask = value(found, "--mask") or hex(forms.WORD)
    both = with_defaults(without(found, "--mask"), ("--nfmask", mask), ("--ctmask", mask))
    return [forms.hex_mask(o) if o.name in ("--nfmask", "--ctmask") else o for o in both]


def _reject(found: list[Option], family: int) -> list[Option]:
    prefix = "icmp" if family == 4 else "icmp6"
    found = with_defaults(found, ("--reject-with", f"{prefix}-port-unreachable"))
    return [_reject_with(o, family) if o.name == "--reject-with" else o for o in found]


def _reject_with(option: Option, family: int) -> Option:
    """The first whose name, long or short, begins so."""
    written = option.values[0]
    known = REJECTS[6 if written.startswith("icmp6") else family]
    for short, long in known.items() if written else ():
        if any(name.startswith(written.lower()) for name in (short, long)):
            return Option(option.name, (long,))
    expected = ", ".join(dict.fromkeys(known.values()))
    raise ValueError(f"bad value {written!r} for --reject-with; one of {expected} expected")


def _tproxy(found: list[Option], family: int) -> list[Option]:
    anywhere = "0.0.0.0" if family == 4 else "::"
    return with_defaults(found, ("--on-ip", anywhere), ("--tproxy-mark", "0x0/0x0"))


def _nfqueue(found: list[Option], family: int) -> list[Option]:
    balanced = named(found, "--queue-balance")
    return found if balanced else with_defaults(found, ("--queue-num", "0"))


def _clusterip(found: list[Option], family: int) -> list[Option]:
    return with_defaults(found, ("--hash-init", "0")) if named(found, "--new") else found


def _ecn(found: list[Option], family: int) -> list[Option]:
    """Both bits cleared is --ecn-tcp-remove, which has another name beside --ecn-ip-ect."""
    if named(found, "--ecn-tcp-remove"):
        found = without(found, "--ecn-tcp-remove")
        found = [*found, Option("--ecn-tcp-ece", ("0",)), Option("--ecn-tcp-cwr", ("0",))]
    if sorted((o.name, o.values) for o in found) == [
        ("--ecn-tcp-cwr", ("0",)),
        ("--ecn-tcp-ece", ("0",)),
    ]:
        return [Option("--ecn-tcp-remove")]
    return found


def _hmark(found: list[Option], family: int) -> list[Option]:
    masks = [
        prefix_length(option, family)
        for option in named(found, "--hmark-src-prefix", "--hmark-dst-prefix")
    ]
    parts = [part for o in named(found, "--hmark-tuple") for part in o.values[0].split(",")]
    rest = without(found, "--hmark-src-prefix", "--hmark-dst-prefix", "--hmark-tuple")
    return [*rest, *masks, *(_hmark_part(part, family) for part in parts)]


def _hmark_part(text: str, family: int) -> Option:
    """Part of a tuple, or the beginning of its name: all of it."""
    order = ("ct", "src", "dst", "sport", "dport", "proto", "spi")
    part = next((p for p in order if text and p.startswith(text.lower())), None)
    if part is None:
        raise ValueError(f"a list of {', '.join(HMARK_PARTS)} was expected")
    name, value = HMARK_PARTS[part]
    return Option(name, (value or ("32" if family == 4 else "128"),))


def _rateest_target(found: list[Option], family: int) -> list[Option]:
    interval = value(found, "--rateest-interval")
    constant = value(found, "--rateest-ewmalog")
    if interval is None or constant is None:
        return found
    shown = dict(
        zip(
            ("--rateest-interval", "--rateest-ewmalog"),
            estimator_times(interval, constant),
            strict=True,
        )
    )
    return [forms.valued(o, shown[o.name]) if o.name in shown else o for o in found]


TARGET_COMPLETIONS: dict[str, Completion] = {
    "CONNMARK": _connmark,
    "REJECT": _reject,
    "TPROXY": _tproxy,
    "NFQUEUE": _nfqueue,
    "CLUSTERIP": _clusterip,
    "ECN": _ecn,
    "HMARK": _hmark,
    "RATEEST": _rateest_target,
}
