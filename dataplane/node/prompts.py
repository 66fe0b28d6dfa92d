"""What a terminal leaves around a dump that was copied from it."""

import re

# `root@node-a:~# iptables-save`, `[root@node-a ~]# …`, `$ …`, `bash-5.1$ exit`, `sh-4.2#`
PROMPT = re.compile(
    r"(\[[^\]\s]+@[^\]]*\]|[\w.-]+@[\w.-]+(:[^\s#$]*)?|(ba|z|k)?sh-[\w.]+)\s*[#$%>](\s|\Z)|[$%>](\s|\Z)"
)
COMMAND = re.compile(
    r"(sudo\s+)?(ip6?tables(-legacy|-nft)?-save|ipset\s+(save|list)|conntrack\s+-L|sysctl\s+-a)\b"
)
FAREWELLS = ("exit", "logout")


def is_prompt(line: str) -> bool:
    """A shell's prompt, with what was typed after it; or a command's own name."""
    return bool(PROMPT.match(line) or COMMAND.match(line)) or line in FAREWELLS
