"""Checks the golden models with onnx.checker and writes what Python's onnxruntime says of them.

    pip install onnx onnxruntime==1.31.1 numpy
    cargo test --release -p cloudops-models --test export -- --ignored write_the_golden_models
    python export.py

Reads export-*.onnx beside it and writes export.json: for each model `input`, flat, and every
output by name, flat.
"""

import json
import pathlib

import numpy
import onnx
import onnxruntime

HERE = pathlib.Path(__file__).parent
ROWS = 7


def main():
    random = numpy.random.default_rng(20261122)
    golden = {}
    for path in sorted(HERE.glob("export-*.onnx")):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (value,) = session.get_inputs()
        info = json.loads(session.get_modelmeta().custom_metadata_map["model_info"])
        mean, std = numpy.array(info["channel_mean"]), numpy.array(info["channel_std"])
        shape = [ROWS] + value.shape[1:]
        # Around what the model knows, the last row far from it.
        spread = numpy.array([1.0] * (ROWS - 1) + [40.0]).reshape([ROWS] + [1] * (len(shape) - 1))
        x = (mean + random.standard_normal(shape) * (std + 0.01) * spread).astype(numpy.float32)
        outputs = session.run(None, {value.name: x})
        record = {"input": x.ravel().tolist()}
        for output, values in zip(session.get_outputs(), outputs):
            assert list(values.shape[1:]) == output.shape[1:], output.name
            record[output.name] = values.ravel().tolist()
        golden[path.stem.removeprefix("export-")] = record
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in golden.items())
    (HERE / "export.json").write_text("{\n" + text + "\n}\n")


if __name__ == "__main__":
    main()
