"""What runs a bundle: ONNX Runtime, torch, TensorRT."""
