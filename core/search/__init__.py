"""Search: which scenes of which archive show a block in the season of its region, and why others were left out.

Asked once per run and kept in it, so that a resumed run sees the same scenes whatever the archives list by then.
"""
