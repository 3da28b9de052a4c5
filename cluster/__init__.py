"""How work spreads over processes and machines: scheduling, actors, events. Imports `core`, never `jobs`."""
