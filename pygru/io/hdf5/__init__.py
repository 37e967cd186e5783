"""HDF5 files of h5py and Keras, read without either, in work bounded by their size."""
