"""`make bench-peers`: ours beside the plain-C floor, Linux, dpkt and scapy."""
