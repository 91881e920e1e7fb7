"""Chains of ONNX operators that onnxruntime runs as one: Swish, Gelu, layer normalisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from cost_models.onnx_nodes import Node

Constant = Callable[[str], bool]


def fuse(nodes: Sequence[Node], is_constant: Constant, kept: Sequence[str]) -> list[Node]:
    """The nodes with each chain in the place of its last one; `kept` names tensors that must stay (graph outputs).

    A chain is taken only where nothing else reads what lies inside it.
    """
    chains = _Chains(nodes, is_constant, kept)
    for node in nodes:
        if node.op == "Sigmoid":
            chains.swish(node)
        elif node.op == "Erf":
            chains.gelu(node)
        elif node.op == "Sqrt":
            chains.layer_norm(node)
    gone, instead = chains.gone, chains.instead
    return [instead.get(id(node), node) for node in nodes if id(node) not in gone]


class _Chains:
    def __init__(self, nodes: Sequence[Node], is_constant: Constant, kept: Sequence[str]) -> None:
        self.constant = is_constant
        self.writer = {out: node for node in nodes for out in node.outputs if out}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.kept = Counter(kept)
        self.gone: set[int] = set()
        self.instead: dict[int, Node] = {}

    def _next(self, node: Node, *ops: str) -> Node | None:
        """The only reader of a node's output, where it is one of `ops`."""
        readers = self.readers.get(node.outputs[0], [])
        if len(readers) != 1 or node.outputs[0] in self.kept or readers[0].op not in ops:
            return None
        return readers[0]

    def _varying(self, node: Node) -> list[str]:
        return [i for i in dict.fromkeys(node.inputs) if i and not self.constant(i)]

    def _before(self, node: Node, *ops: str) -> Node | None:
        """The node behind the only varying input, where it is one of `ops` and nothing else reads it."""
        inputs = self._varying(node)
        found = self.writer.get(inputs[0]) if len(inputs) == 1 else None
        if found is None or found.op not in ops or self._next(found, node.op) is not node:
            return None
        return found

    def _take(self, op: str, inside: Sequence[Node], last: Node, inputs: list[str]) -> None:
        if id(last) in self.instead or any(id(n) in self.gone for n in (*inside, last)):
            return
        self.gone.update(id(n) for n in inside if n is not last)
        self.instead[id(last)] = Node(op, last.name, inputs, [last.outputs[0]])

    def swish(self, gate: Node) -> None:
        """x · sigmoid(x), which onnxruntime calls QuickGelu; it leaves x · hard_sigmoid(x) in two."""
        product = self._next(gate, "Mul")
        source = self._varying(gate)
        if product is not None and len(source) == 1 and set(product.inputs) == {source[0], gate.outputs[0]}:
            self._take("Swish", [gate], product, source)

    def gelu(self, erf: Node) -> None:
        """x · (1 + erf(x / √2)) / 2, the half before, between or behind."""
        scaled, plus = self._before(erf, "Div", "Mul"), self._next(erf, "Add")
        if scaled is None or plus is None or len(self._varying(plus)) != 1 or len(self._varying(scaled)) != 1:
            return
        (x,) = self._varying(scaled)
        product = self._next(plus, "Mul")
        inside = [scaled, erf, plus]
        if product is not None and len(self._varying(product)) == 1:
            inside.append(product)  # halved first
            product = self._next(product, "Mul")
        if product is None:
            return
        other = next((i for i in product.inputs if i not in {n.outputs[0] for n in inside}), x)
        if other != x:
            half = self.writer.get(other)
            if half is None or half.op not in ("Mul", "Div") or self._varying(half) != [x]:
                return
            if self._next(half, "Mul") is not product:
                return
            inside.append(half)
        last = self._next(product, "Mul")
        if last is not None and len(self._varying(last)) == 1 and other == x and len(inside) == 3:
            inside.append(product)
            product = last
        self._take("Gelu", inside, product, [x])

    def layer_norm(self, root: Node) -> None:
        """(x - mean) / √(mean((x - mean)²) + ε), scaled and shifted."""
        plus = self._before(root, "Add")
        variance = self._before(plus, "ReduceMean") if plus is not None else None
        square = self._before(variance, "Pow", "Mul") if variance is not None else None
        divide = self._next(root, "Div")
        if plus is None or variance is None or square is None or divide is None:
            return
        centered = self.writer.get(self._varying(square)[0]) if len(self._varying(square)) == 1 else None
        if centered is None or centered.op != "Sub" or divide.inputs[0] != centered.outputs[0]:
            return
        mean = self.writer.get(centered.inputs[1])
        readers = {id(n) for n in self.readers.get(centered.outputs[0], [])}
        if mean is None or mean.op != "ReduceMean" or mean.inputs[0] != centered.inputs[0]:
            return
        if readers != {id(square), id(divide)} or self._next(mean, "Sub") is not centered:
            return
        inside, last, inputs = [mean, centered, square, variance, plus, root], divide, [centered.inputs[0]]
        for op in ("Mul", "Add"):
            after = self._next(last, op)
            if after is None or len(self._varying(after)) != 1:
                break
            inside.append(last)
            inputs += [i for i in after.inputs if self.constant(i)]
            last = after
        self._take("LayerNormalization", inside, last, inputs)
