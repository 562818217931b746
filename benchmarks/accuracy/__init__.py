"""How far the RTTs we report are from the time stamps of a packet capture on the wire, beside fping's."""
