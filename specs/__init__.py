"""What the world is: schemas and data of specs, chips, cores, runtimes; no behaviour beyond reading them."""
