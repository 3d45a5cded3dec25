"""Pipeline folder to compiled files: ONNX graphs, their precision, TensorRT engine files, batch sizes."""
