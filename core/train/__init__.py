"""Training: chips, class schemes, labels, losses, augmentation, folds, the trainer and its evaluation.

Nothing here is imported by a run that maps. Modules that need torch import it themselves; chips, classes, labels,
folds and scores do not, so the simulator and the measuring of truth work without it.
"""
