"""A sweep on a Dask cluster: workers reach the devices of their sites, this machine keeps the journal and the store.

scheduler.py   the one module that speaks Dask: which scheduler is trusted, whose worker a device gets, what moves there
remote.py      a device's run as this machine follows it
supplying.py   what a worker needs for it, looked up and brought there
seat.py        the same on a worker: edge.running.device_run, with stand-ins for what it has at home
outbox.py      what a worker has to tell, until it has been taken
words.py       what is said between them: JSON, and the bytes of samples
received.py    what a worker keeps of artifacts that came
"""
