# SPDX-License-Identifier: Apache-2.0
"""Random low-bit QONNX graphs: chains and branches of every operator that lowering knows.

All choices of structure come from one `random.Random`, so that hypothesis can shrink them and a
seed can repeat them; tensor contents come from a numpy generator seeded by it.
"""

from collections.abc import Callable

import onnx
from hypothesis import strategies as st
from random_moves import RandomMoves
from random_operators import Value


class RandomGraph(RandomMoves):
    """A whole graph."""

    def build(self) -> onnx.ModelProto:
        """Real input, its quantizer, one to four blocks."""
        x = Value("x", tuple(self.file.input_shape))
        if self.maybe(0.3):
            x = self.input_scaling(x)
        if self.maybe(0.1):
            x = self.flattened(x)
        x = self.quantizer(x, activation=True)
        for _ in range(self.choice.randint(1, 4)):
            x = self._block(x)
        if not self._behind_a_layer(x):
            x = self._linear_block(x)
        if not x.rectified and self.maybe(0.2):
            x = self.elementwise(x)
        if x.rectified:
            x = self.quantizer(x)
        elif x.single and self.maybe(0.2):
            x = self.largest(x)
        model = self.file.model(x.name, rank=len(x.shape) + 1)
        if self.maybe(0.3):
            model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        return model

    def _behind_a_layer(self, x: Value) -> bool:
        needed = {x.name}
        for node in reversed(self.file.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                if node.op_type in ("Conv", "Gemm", "MatMul"):
                    return True
        return False

    # Blocks: from a quantized tensor to one that the next block may read.

    def _block(self, x: Value) -> Value:
        if x.rectified or (not x.single and self.maybe(0.7)):
            x = self.quantizer(x)
        blocks: list[Callable[[Value], Value]] = [self._linear_block] * 4
        blocks += [self._residual, self._concatenation, self._rearranged, self._pooled]
        return self.choice.choice(blocks)(x)

    def _linear_block(self, x: Value) -> Value:
        x = self._linear(x)
        for _ in range(self.choice.randint(0, 2)):
            x = self.elementwise(x)
        if self.maybe(0.3):
            x = self.max_pool(x)
        for _ in range(self.choice.choice([0, 0, 0, 1, 2])):
            x = self._scattered(x)
        if self.maybe(0.4):
            x = self.rising(x)
            if self.maybe(0.3):
                x = self.elementwise(x)
                x = self.rising(x) if self.maybe(0.3) else x
            if self.maybe(0.2):
                x = self.max_pool(x)
            if self.maybe(0.2):
                x = self.flattened(x)
        if x.rectified or self.maybe(0.8):
            x = self.quantizer(x)
        return x

    def _scattered(self, x: Value) -> Value:
        """A move that may mix channels, and what the next quantizer absorbs."""
        if len(x.shape) == 3 and x.shape[0] % 4 == 0:
            x = self.depth_to_space(x)
        else:
            x = self.choice.choice([self.reshaped, self.transposed])(x)
        return self.choice.choice([self.elementwise, self.rising, self.identity])(x)

    def _linear(self, x: Value) -> Value:
        if len(x.shape) == 1:
            return self.fully_connected(x)
        if len(x.shape) > 3 or self.maybe(0.15):
            return self.product(x)
        if self.maybe(0.1):
            return self.transposed_convolution(x)
        return self.convolution(x) if self.maybe(0.75) else self.fully_connected(self.flattened(x))

    def _residual(self, x: Value) -> Value:
        """Two branches of equal shape and of scales with a small ratio, added."""
        scale = self.dyadic()
        left = self._branch(x)
        right = self.choice.choice([x, left, self._branch(x)])
        if left.shape != right.shape:
            return left
        left = self.quantizer(left, scale=scale)
        right = self.quantizer(right, scale=scale * self.choice.choice([1, 1, 2, 0.25, 3]))
        operator = self.choice.choice(["Add", "Add", "Sub", "Sum", "Mean"])
        return Value(self.file.node(operator, left.name, right.name), left.shape)

    def _concatenation(self, x: Value) -> Value:
        scale = self.dyadic()
        count = self.choice.randint(2, 3)
        parts = [self._branch(x) for _ in range(count)]
        parts = [part for part in parts if part.shape[1:] == parts[0].shape[1:]]
        parts = [
            self.quantizer(part, scale=scale * self.choice.choice([1, 1, 1, 2])) for part in parts
        ]
        name = self.file.node("Concat", *(part.name for part in parts), axis=1)
        return Value(name, (sum(p.shape[0] for p in parts), *parts[0].shape[1:]))

    def _branch(self, x: Value) -> Value:
        """A convolution that keeps the picture's size, or a square layer, or nothing."""
        if self.maybe(0.3):
            return x
        if len(x.shape) == 3:
            return self.convolution(x, same=True)
        return self._linear(x) if len(x.shape) == 1 else x

    def _rearranged(self, x: Value) -> Value:
        """One of the operators that only move, repeat or pad values."""
        moves = [self.flattened, self.identity, self.transposed, self.reshaped]
        moves += [self.squeezed, self.unsqueezed, self.sliced, self.gathered, self.split]
        if len(x.shape) == 3:
            moves += [self.pad, self.upsampled, self.depth_to_space, self.space_to_depth] * 3
        return self.choice.choice(moves)(x)

    def _pooled(self, x: Value) -> Value:
        if len(x.shape) not in (2, 3):
            return self._linear_block(x)
        pools = [self.max_pool, self.average_pool, self.global_pool, self.reduced]
        return self.choice.choice(pools)(x)


def graphs() -> st.SearchStrategy[onnx.ModelProto]:
    """Random valid models for hypothesis."""
    return st.randoms(use_true_random=False).map(lambda choice: RandomGraph(choice).build())
