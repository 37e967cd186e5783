"""Models of Keras: reading ``.keras`` and HDF5 files, layers, and writing weights."""
