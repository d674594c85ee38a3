"""What every implementation of a seam has to keep, as plain functions: call them from any test runner.

`transform` and `codec` for whatever takes pieces, `provider` for adapters, `protocol` for wire protocols. Each asserts,
and says in words what was broken. Import them from a module that pytest rewrites, or not: the messages are their own.
"""
