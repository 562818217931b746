"""Engines that put packets on the network and time the answers."""
