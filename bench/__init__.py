"""What Weir costs, as ratios to floors measured in the same run.

`make bench` (`python -m bench`) measures every row of bench.rows and writes bench/results.json, docs/images and the
tables of docs/performance.md. `python -m bench --only NAME` measures the rows whose name holds NAME and writes nothing.
`python -m bench quick` is the half minute of `make check`. A server runs as a process of its own and is loaded and
asked over HTTP; every answer is compared with what the generated lines say.
"""
