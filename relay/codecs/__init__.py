"""Codecs: pure CPU, one file each. A decoder is a transform from bytes to blocks, an encoder from blocks to bytes."""
