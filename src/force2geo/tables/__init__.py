"""Tables of the papers, one file each.

A table's file has `request(config)`, which says what it is made of, `{"files": {label: path}, …}`
with paths within the run's folder, and `build(asked, folder)`, which makes the table of them. Its
name is the file's; nothing else names it but a run's configuration, under `tables`.
"""
