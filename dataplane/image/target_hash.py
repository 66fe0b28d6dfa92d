"""HMARK as words: what is hashed."""

from _fastpath.image import HmarkWord, TargetKind
from dataplane.image.pools import Pools
from dataplane.image.target_rows import Options, Row, numbers


def hmark(options: Options, family: int, pools: Pools) -> tuple[int, Row]:
    words = [0] * HmarkWord.HMARK_WORDS
    for name, option in options.items():
        if name in HMARK_ADDRESSES:
            at = HMARK_ADDRESSES[name]
            words[at : at + 4] = _prefix_words(int(option.values[0]), family)
        elif name in HMARK_NUMBERS:
            at, shift, most = HMARK_NUMBERS[name]
            number = int(option.values[0], 0)
            if not 0 <= number <= most:
                raise ValueError(number)
            words[at] |= number << shift
        elif option.values[0] == "ct":
            words[HmarkWord.HMARK_CONNECTION] = 1
        else:
            raise ValueError("iptables-save prints the others apart")
    if not {"--hmark-rnd", "--hmark-mod"} <= options.keys():
        raise ValueError("no key, or no modulus")
    for spi, *ports in HMARK_PLACES:
        if spi in options and options.keys() & set(ports):
            raise ValueError("an SPI and a port in one place")
    return TargetKind.TARGET_HMARK, numbers(pools.add_words(words), 0)


HMARK_ADDRESSES = {
    "--hmark-src-prefix": HmarkWord.HMARK_SRC_MASK, "--hmark-dst-prefix": HmarkWord.HMARK_DST_MASK,
}  # fmt: skip
# The word, how far to the left, and the most that it may be.
HMARK_NUMBERS = {
    "--hmark-spi-mask": (HmarkWord.HMARK_PORT_MASK, 0, 0xFFFFFFFF),
    "--hmark-sport-mask": (HmarkWord.HMARK_PORT_MASK, 16, 0xFFFF),
    "--hmark-dport-mask": (HmarkWord.HMARK_PORT_MASK, 0, 0xFFFF),
    "--hmark-spi": (HmarkWord.HMARK_PORT_SET, 0, 0xFFFFFFFF),
    "--hmark-sport": (HmarkWord.HMARK_PORT_SET, 16, 0xFFFF),
    "--hmark-dport": (HmarkWord.HMARK_PORT_SET, 0, 0xFFFF),
    "--hmark-proto-mask": (HmarkWord.HMARK_PROTO_MASK, 0, 0xFFFFFFFF),
    "--hmark-rnd": (HmarkWord.HMARK_RANDOM, 0, 0xFFFFFFFF),
    "--hmark-mod": (HmarkWord.HMARK_MODULUS, 0, 0xFFFFFFFF),
    "--hmark-offset": (HmarkWord.HMARK_OFFSET, 0, 0xFFFFFFFF),
}
HMARK_PLACES = (
    ("--hmark-spi-mask", "--hmark-sport-mask", "--hmark-dport-mask"),
    ("--hmark-spi", "--hmark-sport", "--hmark-dport"),
)


def _prefix_words(length: int, family: int) -> list[int]:
    bits = 32 if family == 4 else 128
    if not 0 <= length <= bits:
        raise ValueError(length)
    mask = (1 << length) - 1 << bits - length
    words = [mask >> shift & 0xFFFFFFFF for shift in range(bits - 32, -1, -32)]
    return [*words, 0, 0, 0][:4]
