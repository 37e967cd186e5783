"""How setup.py builds the compiled modules; nothing here is installed.

``sources`` lists the files, ``flags`` has the options of each compiler, ``threads`` what
PYGRU_THREADS means, ``compilers`` finds out what the compiler can do, ``objects`` compiles what
has changed, and ``commands`` puts them together.
"""
