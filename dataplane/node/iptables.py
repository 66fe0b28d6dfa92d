"""iptables rule sets, as `iptables-save` prints them and `iptables-restore` reads them.

`parse` and `render` are inverses.  What `parse` returns is the normal form that
`iptables-save` prints, whatever way it was written: long options, names for numbers, old
negation, implicit `-m tcp`, comma lists.  So `render(parse(text)) == text` for any save, and
the rooms below meet one spelling of everything.

    iptables_rules       the nouns
    iptables_parse       lines to tables
    iptables_words       a line to words, and a value back to a quoted word
    iptables_shape       a line of the usual shape to a rule
    iptables_spec        the words of a line to rules, by way of a draft
      iptables_draft     a rule while its words are read
      iptables_header    what every rule may have: -s, -d, -i, -o, -p, -f, -m, -j, -g
      iptables_extensions  options of matches and targets
      iptables_options   which options each extension has, and how many values each takes
      iptables_values    prefixes, protocols, ports, interfaces
    iptables_normal      how iptables-save would print the options of an extension
      iptables_match_forms, iptables_target_forms              option by option
        iptables_forms, iptables_forms_*                       numbers, names, addresses, …
        iptables_names   names that it knows
      iptables_match_completions, iptables_target_completions  and as a whole
        iptables_hashlimit, iptables_given
      iptables_native    what the flavour nft prints otherwise
    iptables_render      tables to lines
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dataplane.node.iptables_options import are_listed
from dataplane.node.iptables_rules import (
    Chain,
    Interface,
    Match,
    Option,
    Prefix,
    Protocol,
    Rule,
    Ruleset,
    Table,
    Target,
)

if TYPE_CHECKING:
    from dataplane.node.iptables_parse import parse
    from dataplane.node.iptables_render import render, render_rule
    from dataplane.node.iptables_spec import parse_rule

__all__ = [
    "Chain",
    "Interface",
    "Match",
    "Option",
    "Prefix",
    "Protocol",
    "Rule",
    "Ruleset",
    "Table",
    "Target",
    "are_listed",
    "parse",
    "parse_rule",
    "render",
    "render_rule",
]

# Loaded when they are used: nodes that agents program are neither read nor printed.
_HOMES = {
    "parse": "iptables_parse",
    "parse_rule": "iptables_spec",
    "render": "iptables_render",
    "render_rule": "iptables_render",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"dataplane.node.{_HOMES[name]}"), name)
