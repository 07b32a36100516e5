"""Figures: what a step costs, how it compares with transformers in the same run, and what a client sees."""
