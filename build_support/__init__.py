"""How setup.py builds the compiled modules; nothing here is installed.

``sources`` lists the files, ``environment`` reads variables, ``flags`` has the options of each
compiler, ``threads`` what PYGRU_THREADS means, ``compilers`` finds out what a compiler can do,
``objects`` compiles what has changed, and ``commands`` puts them together.
"""
