"""How long a test waits for a process or a thread that a bug would make wait for ever.

No test needs this time, on however busy a machine. It only ends a test that would never end.
"""

PATIENCE = 600  # seconds
