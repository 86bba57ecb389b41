"""Figures, one file each.

A figure's file has `CAPTION`, `request(config)`, which says what it is made of, `{"files": {label:
path}, …}` with paths within the run's folder, and `draw(asked, folder)`, which draws it. Its name
is the file's; nothing else names it but a run's configuration, under `figures`.
"""
