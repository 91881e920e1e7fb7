"""What the world is: schemas and data of specs, chips, cores, runtimes; no behaviour beyond reading them."""

__edge_advisor__ = True
