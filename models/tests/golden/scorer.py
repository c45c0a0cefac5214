"""Golden values for tests/scorer.rs: a small model of the brought kind, and what onnxruntime makes of it.

    pip install numpy onnx onnxruntime==1.31.1 && python scorer.py

The model has every pattern that loading rewrites: a constant a channel on windows, 1-D convolutions
with and without stride, a transposed convolution of stride 2, means over short trailing axes, a sum.
"""
import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
STEPS, CHANNELS, FEATURES, FILTERS, LATENTS, ROWS = 12, 5, 10, 6, 3, 9
random = np.random.default_rng(20260117)
constants, nodes = [], []


def constant(name, array, kind=np.float32):
    constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=kind), name))
    return name


def node(op, inputs, output, **attributes):
    nodes.append(helper.make_node(op, inputs, [output], name=output + "_node", **attributes))


def weights(*shape, fan):
    return random.standard_normal(shape) / np.sqrt(fan)


mean, std = random.uniform(5, 50, CHANNELS), random.uniform(0.5, 3, CHANNELS)
node("Sub", ["window", constant("mean", mean.reshape(1, 1, -1))], "centred")
node("Div", ["centred", constant("std", std.reshape(1, 1, -1))], "standard")
node("Transpose", ["standard"], "x", perm=[0, 2, 1])
node("Conv", ["x", constant("w1", weights(FILTERS, CHANNELS, 3, fan=15)), constant("b1", weights(FILTERS, fan=9))],
     "c1", kernel_shape=[3], pads=[1, 1])
node("Relu", ["c1"], "r1")
node("Conv", ["r1", constant("w2", weights(8, FILTERS, 3, fan=18)), constant("b2", weights(8, fan=9))],
     "c2", kernel_shape=[3], strides=[2], pads=[1, 1])
node("Relu", ["c2"], "r2")
node("Flatten", ["r2"], "flat", axis=1)
node("Concat", ["flat", "features"], "joined", axis=1)
hidden = 8 * STEPS // 2
node("Gemm", ["joined", constant("wm", weights(hidden + FEATURES, LATENTS, fan=60))], "mu")
node("Gemm", ["mu", constant("wd", weights(LATENTS, hidden, fan=3)), constant("bd", weights(hidden, fan=9))], "d0")
node("Relu", ["d0"], "d1")
node("Reshape", ["d1", constant("shape", [-1, 8, STEPS // 2], np.int64)], "d2")
node("ConvTranspose", ["d2", constant("w3", weights(8, FILTERS, 4, fan=32)), constant("b3", weights(FILTERS, fan=9))],
     "d3", kernel_shape=[4], strides=[2], pads=[1, 1])
node("Relu", ["d3"], "d4")
node("Conv", ["d4", constant("w4", weights(CHANNELS, FILTERS, 3, fan=18)), constant("b4", np.zeros(CHANNELS))],
     "rebuilt", kernel_shape=[3], pads=[1, 1])
node("Sub", ["x", "rebuilt"], "difference")
node("Mul", ["difference", "difference"], "square")
node("ReduceMean", ["square"], "channel_error", axes=[2], keepdims=0)
node("ReduceMean", ["square"], "error", axes=[1, 2], keepdims=0)
node("Mul", ["mu", "mu"], "square_mu")
node("ReduceSum", ["square_mu", constant("axis", [1], np.int64)], "norm", keepdims=0)
node("Mul", ["norm", constant("tenth", 0.1)], "penalty")
node("Add", ["error", "penalty"], "score")
graph = helper.make_graph(
    nodes,
    "small",
    [
        helper.make_tensor_value_info("window", TensorProto.FLOAT, ["n", STEPS, CHANNELS]),
        helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES]),
    ],
    [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("channel_error", TensorProto.FLOAT, ["n", CHANNELS]),
    ],
    constants,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="golden")
model.ir_version = 8
onnx.checker.check_model(model)
onnx.save(model, HERE / "small.onnx")

window = (mean + std * random.standard_normal((ROWS, STEPS, CHANNELS))).astype(np.float32)
features = random.standard_normal((ROWS, FEATURES)).astype(np.float32)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
score, channel_error = session.run(["score", "channel_error"], {"window": window, "features": features})
values = {"window": window, "features": features, "score": score, "channel_error": channel_error}
text = {name: [float(f"{value:.9g}") for value in array.ravel()] for name, array in values.items()}
(HERE / "small.json").write_text(json.dumps(text) + "\n")
