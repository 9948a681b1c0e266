"""Ports that peers connect to, of gateways and workers alike: sockets, limits, and ZMTP on them."""
