"""smokemesh: latency and loss, measured from many places at once, and shown."""
