"""One network description and its readings: torch module, Keras mirror, ONNX graph, workload."""
