"""The test vectors of the ONNX standard, for every operator that minidl has, too: an independent reference."""
