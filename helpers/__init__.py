"""Second Look: what a CNN says about images, computed in front of the reader.

Five wings, in the order in which data flows through them: `datasets` (images in), `network`
(what the net says), `methods` (what it means), `show` (pictures), `series` (the whole).
`settings` says what a run uses.
"""
