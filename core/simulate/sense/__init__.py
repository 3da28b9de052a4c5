"""How satellites see SIMULATED land: light, snow and cloud of a day, then optical, thermal and radar images of it.

Every sensor has a file and gives what `core.sensors.registry` says: its bands, their order and their units.
"""
