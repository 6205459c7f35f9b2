"""What edgebench ships to a device: Python 3.8+, standard library at import.

Host code uses `contract` and `formats` alone; `edge.agent.bundle` reads the rest as data.
"""
