"""What the subcommands of ``pygru`` do; :mod:`pygru.cli` reads the command line."""
