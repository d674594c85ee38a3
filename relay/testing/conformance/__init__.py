"""What every implementation of a seam has to keep, as plain functions: call them from any test runner.

`transform` and `codec` for whatever takes pieces, `provider` and `exchange` for adapters, `driver` for what does their
I/O, `protocol` for wire protocols, `store` for what remembers. Each asserts, and says in words what was broken. They
are statements of `assert`: under `python -O` they check nothing.
"""
