"""Age and gender from a photograph of a face: a complete system, built with minidl as anybody's project would be."""
