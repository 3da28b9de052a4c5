"""SIMULATED land: relief, ice that flows, debris on it, rock around it, and the truth of what lies where.

Nothing here knows a sensor or a date; `core.simulate.sense` looks at it.
"""
