"""The Keras reading: the mirror that TensorFlow's converter turns into clean TFLite. Imports tensorflow when called."""

from __future__ import annotations

from typing import Any

import numpy as np

from advisor.network.description import Layer, Network
from advisor.network.weights import Weights


def to_keras(network: Network, folded: Weights) -> Any:
    """A functional `keras.Model` (1, H, W, C) → logits (1, classes) with weights from `fold`; batch 1 is what ships."""
    import keras

    values = {"input": keras.Input(network.input_shape, 1, name="input")}
    for layer in network.layers:
        built = _layer(network, layer)
        inputs = [values[name] for name in layer.inputs]
        value = built(inputs if len(inputs) > 1 else inputs[0])
        values[layer.name] = _activate(value, layer)
        if f"{layer.name}.kernel" in folded:
            built.set_weights(_weights(layer, folded))
    return keras.Model(values["input"], values[network.layers[-1].name], name=network.family)


def _layer(network: Network, layer: Layer) -> Any:
    from keras import layers

    fused = layer.activation if layer.activation in ("relu", "relu6") else None
    if layer.kind == "conv":
        return layers.Conv2D(layer.out, layer.kernel, layer.stride, "same", dilation_rate=layer.dilation,
                             activation=fused, name=layer.name)  # fmt: skip
    if layer.kind == "dwconv":
        return layers.DepthwiseConv2D(layer.kernel, layer.stride, "same", dilation_rate=layer.dilation,
                                      activation=fused, name=layer.name)  # fmt: skip
    if layer.kind == "dense":
        return layers.Dense(layer.out, activation=fused, name=layer.name)
    if layer.kind == "max-pool":
        return layers.MaxPooling2D(layer.kernel, layer.stride, "same", name=layer.name)
    if layer.kind == "avg-pool":
        return layers.AveragePooling2D(layer.kernel, layer.stride, "same", name=layer.name)
    if layer.kind == "global-pool":
        # as an average pool of the whole extent: MEAN is slower or missing on several accelerators
        return layers.AveragePooling2D(network.shapes[layer.inputs[0]][:2], name=layer.name)
    if layer.kind == "flatten":
        return layers.Flatten(name=layer.name)
    return layers.Add(name=layer.name) if layer.kind == "add" else layers.Multiply(name=layer.name)


def _activate(value: Any, layer: Layer) -> Any:
    from keras import layers

    if layer.activation in ("sigmoid", "hard-swish"):
        function = "sigmoid" if layer.activation == "sigmoid" else "hard_silu"
        return layers.Activation(function, name=f"{layer.name}_act")(value)
    if layer.activation and layer.kind not in ("conv", "dwconv", "dense"):
        return layers.Activation(layer.activation, name=f"{layer.name}_act")(value)
    return value


def _weights(layer: Layer, folded: Weights) -> list[Any]:
    kernel, bias = folded[f"{layer.name}.kernel"], folded[f"{layer.name}.bias"]
    if layer.kind == "dense":
        return [kernel.T, bias]
    if layer.kind == "dwconv":
        return [np.transpose(kernel, (2, 3, 0, 1)), bias]
    return [np.transpose(kernel, (2, 3, 1, 0)), bias]
