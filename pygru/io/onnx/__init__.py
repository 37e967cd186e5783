"""ONNX files: their encoding, the GRUs in them, and files of this kind that pygru writes."""
