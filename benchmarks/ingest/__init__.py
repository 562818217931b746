"""How fast rounds are taken from SmokePing's slaves: our master beside the real CGI, on the same posts."""
