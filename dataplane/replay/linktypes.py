"""Link types by name, as the registry at tcpdump.org/linktypes.html has them."""

from _fastpath.capture import LinkType

SUPPORTED = frozenset(int(linktype) for linktype in LinkType)

NAMES = {
    0: "NULL", 1: "ETHERNET", 3: "AX25", 6: "IEEE802_5", 7: "ARCNET_BSD", 8: "SLIP", 9: "PPP",
    10: "FDDI", 12: "RAW", 14: "RAW", 50: "PPP_HDLC", 51: "PPP_ETHER", 99: "SYMANTEC_FIREWALL",
    100: "ATM_RFC1483", 101: "RAW", 104: "C_HDLC", 105: "IEEE802_11", 107: "FRELAY", 108: "LOOP",
    109: "ENC", 113: "LINUX_SLL", 114: "LTALK", 117: "PFLOG", 119: "IEEE802_11_PRISM",
    122: "IP_OVER_FC", 123: "SUNATM", 127: "IEEE802_11_RADIOTAP", 129: "ARCNET_LINUX",
    138: "APPLE_IP_OVER_IEEE1394", 139: "MTP2_WITH_PHDR", 140: "MTP2", 141: "MTP3", 142: "SCCP",
    143: "DOCSIS", 144: "LINUX_IRDA", 147: "USER0", 163: "IEEE802_11_AVS", 165: "BACNET_MS_TP",
    166: "PPP_PPPD", 177: "LINUX_LAPD", 187: "BLUETOOTH_HCI_H4", 188: "IEEE802_16_MAC_CPS",
    189: "USB_LINUX", 192: "PPI", 195: "IEEE802_15_4_WITHFCS", 197: "ERF",
    201: "BLUETOOTH_HCI_H4_WITH_PHDR", 203: "LAPD", 204: "PPP_WITH_DIR", 206: "FRELAY_WITH_DIR",
    209: "IPMB_LINUX", 220: "USB_LINUX_MMAPPED", 224: "FC_2", 225: "FC_2_WITH_FRAME_DELIMS",
    226: "IPNET", 227: "CAN_SOCKETCAN", 228: "IPV4", 229: "IPV6", 230: "IEEE802_15_4_NOFCS",
    231: "DBUS", 235: "DVB_CI", 236: "MUX27010", 239: "NFLOG", 240: "NETANALYZER",
    242: "IPOIB", 243: "MPEG_2_TS", 245: "NFC_LLCP", 247: "INFINIBAND", 248: "SCTP",
    249: "USBPCAP", 251: "BLUETOOTH_LE_LL", 252: "WIRESHARK_UPPER_PDU", 253: "NETLINK",
    254: "BLUETOOTH_LINUX_MONITOR", 256: "BLUETOOTH_LE_LL_WITH_PHDR", 258: "PKTAP",
    259: "EPON", 264: "ISO_14443", 265: "RDS", 266: "USB_DARWIN", 271: "VSOCK",
    272: "NORDIC_BLE", 276: "LINUX_SLL2", 283: "IEEE802_15_4_TAP", 285: "USB_2_0",
    289: "ELEE", 290: "Z_WAVE_SERIAL", 293: "USB_2_0_LOW_SPEED",
}  # fmt: skip


def describe(linktype: int) -> str:
    """`NFLOG (239)`; `number 4711` if the registry had no such link type."""
    return f"{NAMES[linktype]} ({linktype})" if linktype in NAMES else f"number {linktype}"
