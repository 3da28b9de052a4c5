"""What a person or `ray job submit` starts: one file per verb. Imports `cluster` and `core`; nothing imports `jobs`."""
