"""What `relay bench` runs: how soon speech begins, how sure that is, and how much of it a machine carries.

::

    plan (which turns, in which order) -> run (speaks them) -> record (what happened) -> summary -> terminal, page
                                                                                      -> compare

Only `run`, what it speaks through, and `load_run` do I/O; the rest is pure.
"""
