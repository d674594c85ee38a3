"""The measurements behind every published figure. `python -m bench` runs them all and keeps a dated table."""
