"""Does it pay to run the convolutional encoder once over a stretch of overlapping windows?

    pip install numpy onnx==1.19.0 onnxruntime==1.31.1
    python models/benches/overlap.py

The model is `vae-cnn` as `Specification::new` makes it for windows of 30 steps of 14 channels: two
convolutions (kernel 4, stride 2, no padding, 32 filters), 8 latents, the mirrored decoder; weights
are random. Each way runs in the batch that suits it best. Its encoder sees a window only through positions that windows share. Where the hop is a
multiple of 4, the strided convolutions over the whole stretch hold every window's positions; where
it is not, both run at every row, the second one dilated by 2. One thread; least of several passes,
CPU microseconds a window. The latent's mean and log-variance are a third convolution over a
window's six positions, dilated and striding from window to window, so nothing is gathered.
"""
import time

import numpy as np
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

STEPS, CHANNELS, FILTERS, LATENTS = 30, 14, 32, 8
WINDOWS = 26  # of one entity in a row: what an epoch of 131,072 rows of 1,000 entities holds at hop 5
ENTITIES = 64
RNG = np.random.default_rng(1)


def weight(*shape):
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


W = {
    "w1": weight(FILTERS, CHANNELS, 1, 4), "w2": weight(FILTERS, FILTERS, 1, 4),
    "wm": weight(2 * LATENTS, FILTERS, 1, 6), "wd": weight(LATENTS, 6 * FILTERS),
    "w3": weight(FILTERS, FILTERS, 1, 4), "w4": weight(FILTERS, CHANNELS, 1, 4),
}


def session(nodes, constants, shape, output):
    used = {name for node in nodes for name in node.input}
    known = {**W, **constants}.items()
    initializers = [nh.from_array(array, name) for name, array in known if name in used]
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, shape)],
                         [h.make_tensor_value_info(output, T.FLOAT, None)], initializers)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def conv(x, w, to, stride=1, dilation=1):
    return [h.make_node("Conv", [x, w], [to + "_"], kernel_shape=[1, 4], strides=[1, stride],
                        dilations=[1, dilation]), h.make_node("Relu", [to + "_"], [to])]


def latent(x, to, stride=1, dilation=1):
    return [h.make_node("Conv", [x, "wm"], [to + "_"], kernel_shape=[1, 6], strides=[1, stride],
                        dilations=[1, dilation]),
            h.make_node("Transpose", [to + "_"], [to + "t"], perm=[0, 3, 2, 1]),
            h.make_node("Reshape", [to + "t", "rows"], [to])]


ROWS = {"rows": np.array([-1, 2 * LATENTS], np.int64)}

# From a window's latent on; its mean stands for a draw.
DECODER = [
    h.make_node("Slice", ["f", "from", "to", "axis"], ["z"]), h.make_node("MatMul", ["z", "wd"], ["d0"]),
    h.make_node("Relu", ["d0"], ["d1"]), h.make_node("Reshape", ["d1", "wide"], ["d2"]),
    h.make_node("ConvTranspose", ["d2", "w3"], ["d3"], kernel_shape=[1, 4], strides=[1, 2]),
    h.make_node("Relu", ["d3"], ["d4"]),
    h.make_node("ConvTranspose", ["d4", "w4"], ["y"], kernel_shape=[1, 4], strides=[1, 2]),
]
WIDE = {"wide": np.array([-1, FILTERS, 1, 6], np.int64), "from": np.array([0], np.int64),
        "to": np.array([LATENTS], np.int64), "axis": np.array([1], np.int64)}


def alone(decode):
    nodes = conv("x", "w1", "a", 2) + conv("a", "w2", "b", 2) + latent("b", "f")
    return session(nodes + (DECODER if decode else []), {**ROWS, **(WIDE if decode else {})},
                   [None, CHANNELS, 1, STEPS], "y" if decode else "f")


def stretch(hop):
    if hop % 4 == 0:
        nodes = conv("x", "w1", "a", 2) + conv("a", "w2", "b", 2) + latent("b", "f", hop // 4)
    else:
        nodes = conv("x", "w1", "a") + conv("a", "w2", "b", 1, 2) + latent("b", "f", hop, 4)
    return session(nodes, ROWS, [None, CHANNELS, 1, (WINDOWS - 1) * hop + STEPS], "f")


def least(run, inputs, batches):
    """The least CPU time of passes over the inputs, over these batch sizes; and what came out."""
    best, outputs = float("inf"), None
    for batch in batches:
        parts = [inputs[at:at + batch] for at in range(0, len(inputs), batch)]
        for _ in range(9):
            begin = time.process_time()
            results = [run.run(None, {"x": part})[0] for part in parts]
            spent = time.process_time() - begin
            if spent < best:
                best, outputs = spent, np.concatenate(results)
    return best * 1e6 / (ENTITIES * WINDOWS), outputs


def main():
    whole, encoder = alone(True), alone(False)
    print("| hop | model, window by window | its encoder | encoder over stretches | model would take | same bits |")
    print("|--:|--:|--:|--:|--:|---|")
    for hop in (1, 2, 4, 5, 10):
        length = (WINDOWS - 1) * hop + STEPS
        x = RNG.standard_normal((ENTITIES, CHANNELS, 1, length)).astype(np.float32)
        windows = np.stack([x[:, :, :, k * hop:k * hop + STEPS] for k in range(WINDOWS)], 1)
        windows = np.ascontiguousarray(windows.reshape(-1, CHANNELS, 1, STEPS))
        model, _ = least(whole, windows, (64, 256, 1024))
        own, one_by_one = least(encoder, windows, (64, 256, 1024))
        shared, at_once = least(stretch(hop), x, (1, 4, 16, 64))
        print(f"| {hop} | {model:.2f} µs | {own:.2f} µs | {shared:.2f} µs | "
              f"{(model - own + shared) / model:.2f} | {'yes' if np.array_equal(one_by_one, at_once) else 'no'} |")


if __name__ == "__main__":
    main()
