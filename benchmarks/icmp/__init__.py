"""Many pings to many addresses of loopback: our wall time and CPU beside fping's and the same loop's in C."""
