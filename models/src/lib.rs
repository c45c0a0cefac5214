//! Specification, training, ONNX export, registry, scorers and evaluation.
