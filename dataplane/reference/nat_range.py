"""Which address of a range a translation takes.

nf_nat_core.c, find_best_ips_proto, v6.12: a hash of the addresses, without a secret, spread over
the range word by word.  Words are hashed as they lie in memory on a little-endian machine.
"""

from ipaddress import ip_address

from dataplane.node.state import Address

WORD = 0xFFFFFFFF
JHASH_INITVAL = 0xDEADBEEF


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & WORD


def jhash2(words: list[int], initial: int) -> int:
    """include/linux/jhash.h."""
    a = b = c = (JHASH_INITVAL + 4 * len(words) + initial) & WORD
    while len(words) > 3:
        a, b, c = (x + y & WORD for x, y in zip((a, b, c), words, strict=False))
        a, b, c = _mix(a, b, c)
        words = words[3:]
    rest = [*words, 0, 0, 0][:3]
    a, b, c = (x + y & WORD for x, y in zip((a, b, c), rest, strict=True))
    return _final(a, b, c)


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for first, second in ((4, 6), (8, 16), (19, 4)):
        a = (a - c & WORD) ^ _rotate(c, first)
        c = c + b & WORD
        a, b, c = b, c, a  # the three take turns
        a = (a - c & WORD) ^ _rotate(c, second)
        c = c + b & WORD
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = (c ^ b) - _rotate(b, 14) & WORD
    a = (a ^ c) - _rotate(c, 11) & WORD
    b = (b ^ a) - _rotate(a, 25) & WORD
    c = (c ^ b) - _rotate(b, 16) & WORD
    a = (a ^ c) - _rotate(c, 4) & WORD
    b = (b ^ a) - _rotate(a, 14) & WORD
    return (c ^ b) - _rotate(b, 24) & WORD


def _words(address: Address) -> list[int]:
    """union nf_inet_addr, in host order: an IPv4 address is its first word."""
    packed = address.packed.ljust(16, b"\0")
    return [int.from_bytes(packed[at : at + 4]) for at in range(0, 16, 4)]


def _swap(word: int) -> int:
    return int.from_bytes(word.to_bytes(4), "little")


def best_address(
    src: Address,
    dst: Address,
    first: Address,
    last: Address,
    is_persistent: bool,
    is_destination: bool,
    zone: int,
) -> Address:
    low, high, target = _words(first), _words(last), _words(dst)
    count = 1 if src.version == 4 else 4
    initial = 0 if is_persistent else _swap(target[count - 1]) ^ zone
    j = jhash2([_swap(word) for word in _words(src)], initial)
    found, is_full = [], False
    for i in range(count):
        least, distance = (0, WORD) if is_full else (low[i], high[i] - low[i] + 1)
        found.append(least + (j * (distance & WORD) >> 32) & WORD)
        is_full = is_full or found[i] != high[i]
        if not is_persistent:
            # A destination is chosen in its place: by then the new word stands there.
            j ^= _swap(found[i] if is_destination else target[i])
    return ip_address(b"".join(word.to_bytes(4) for word in found))


def mapped_address(address: Address, first: Address, last: Address) -> Address:
    """netmap_tg: the network's bits from the target, the host's from the address."""
    host = int(first) ^ int(last)
    return type(address)(int(address) & host | int(first) & ~host)
