"""PyTorch: files that it wrote become GRUs, and GRUs become its modules.

The flow of a file: :mod:`.opening` finds out which of PyTorch's formats it is and opens it,
:mod:`.pickles` reads the pickle in it as plain data, :mod:`.tensors` makes arrays, :mod:`.walk`
names them, and :mod:`.finding` finds the GRUs. No code of a file is run, and PyTorch is not
imported, except by :mod:`.export`, which makes a module of it.
"""
