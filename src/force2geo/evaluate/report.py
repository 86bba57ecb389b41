"""The run's results on one page that needs no other file."""

from __future__ import annotations

import base64
import csv
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from force2geo.curation.levels import Level
from force2geo.evaluate.origins import ancestry
from force2geo.evaluate.table import readable
from force2geo.evaluate.wording import counted
from force2geo.files import code_version, read_json
from force2geo.plan.shown import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Artifacts that the page shows outside its tables.
_PRETRAIN = "train/pretrain"
_SHOWN = {
    "store": ("store/audit.json",),
    "pretrain": (
        f"{_PRETRAIN}/metrics.json",
        f"{_PRETRAIN}/predictions.npz",
        "relax/d_opt.h5",
    ),
}
_MOST_MOLECULES = 200
_MOLECULE = {
    "max_force": "max force, potential (eV/Å)",
    "max_force_dft": "max force, DFT (eV/Å)",
    "to_gain": "to gain (kcal/mol)",
    "gained": "gained (kcal/mol)",
    "residual": "residual (kcal/mol)",
    "percent": "energy minimised (%)",
    "rmsd": "RMSD to reference (Å)",
    "rmsd_start": "RMSD of start (Å)",
}

_STYLE = """
:root{color-scheme:light}body{font:16px/1.5 system-ui,sans-serif;color:#1a202c;margin:0}
main{max-width:70rem;margin:0 auto;padding:1.5rem}h1{margin:.2em 0}h2{margin-top:2em}
table{border-collapse:collapse;font-size:.9rem;margin:.5em 0}caption{text-align:left;
font-weight:600;padding:.4em 0}th,td{padding:.35em .7em;border-bottom:1px solid #e2e8f0;
text-align:right}th{background:#f7fafc;vertical-align:bottom}th:first-child,td:first-child,
td.why{text-align:left}td.published,th.published{color:#718096;background:#fafafa}
td.why{color:#718096;font-style:italic;min-width:11em}.scroll{overflow-x:auto}figure{margin:1.2em 0}
figure img{max-width:100%;height:auto}figcaption{color:#4a5568}li{margin:.2em 0}
.verdict{background:#fffaf0;border-left:4px solid #dd6b20;padding:.6em 1em}
code{font-size:.85em;word-break:break-all}details{margin:.5em 0}summary{cursor:pointer}
"""


def _table(path: Path, title: str) -> str:
    data = readable(pd.read_csv(path, dtype=str, keep_default_na=False))
    header, rows = list(data.columns), data.to_numpy().tolist()
    kinds = [
        "why" if name == "Why empty" else "published" if name.endswith("published") else ""
        for name in header
    ]
    if not any(row[-1] for row in rows):
        header, kinds = header[:-1], kinds[:-1]
    head = "".join(
        f'<th class="{kind}" scope="col">{escape(name)}</th>'
        for kind, name in zip(kinds, header, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{kind}">{escape(value)}</td>'
            for kind, value in zip(kinds, row[: len(kinds)], strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _heading(name: str, title: str) -> str:
    """Return a table's title with its number, which one that is in no paper has not."""
    number = name.removeprefix("table").strip("_").partition("_")[0].upper()
    return f"Table {number}. {title}" if name.startswith("table") else title


def _notes(markdown: Path) -> str:
    lines = markdown.read_text(encoding="utf-8").splitlines()
    notes = [line[2:] for line in lines if line.startswith("- ")]
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _statistics(statistics: dict[str, Any]) -> str:
    return (
        f"<p>{counted(statistics['trajectories'], 'molecule')}, "
        f"{counted(statistics['snapshots'], 'snapshot')}; "
        f"{statistics['mean_atoms']:.1f} atoms a molecule, "
        f"{statistics['mean_heavy_atoms']:.1f} of them heavy; elements "
        f"{escape(' '.join(statistics['elements']))}; "
        f"{counted(statistics['rejected_logs'], 'log')} rejected. Stage by stage: table A3.</p>"
    )


def _level(row: dict[str, Any]) -> str:
    return str(Level(row["program"], row["form"], row["basis"], row["spherical"]))


def _audit(report: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(level['stage'])}</td><td>{escape(_level(level))}</td>"
        f"<td>{level['molecules']}</td><td>{level['snapshots']}</td></tr>"
        for level in report["levels"]
    )
    checks = "".join(
        f"<li>{escape(check['stage'])} of {escape(check['cid'])}: {escape(check['verdict'])}"
        + ("" if check["difference"] is None else f" ({check['difference']:+.1e} Hartree)")
        + "</li>"
        for check in report["checks"]
    )
    warnings = "".join(f'<p class="verdict">{escape(text)}</p>' for text in report["warnings"])
    return (
        "<table><thead><tr><th>Stage</th><th>Program and level of theory</th><th>Molecules"
        f"</th><th>Snapshots</th></tr></thead><tbody>{rows}</tbody></table>{warnings}"
        f"<p>Energies recomputed with PySCF. {escape(report.get('tolerances', ''))}</p>"
        f"<ul>{checks}</ul>"
    )


def _verdict(folder: Path, tables: Sequence[str]) -> str:
    metrics = read_json(folder / _PRETRAIN / "metrics.json")
    lines = []
    for part, label in (("val", "Validation"), ("test", "Test")):
        found = metrics[part]
        ratio = found["force_rmse"] / found["force_rmse_zero"]
        lines.append(
            f"{label}: force RMSE {found['force_rmse']:.0f} meV/Å, {ratio:.2f} of predicting zero "
            f"({found['force_rmse_zero']:.0f}), energy MAE {found['energy_mae']:.1f} meV/atom"
        )
    sizes = metrics["sizes"]
    small = sizes["test"] < 10_000
    claim = (
        " With so few molecules, differences between the models of tables 4 and 6 are within "
        "their noise: they show that every stage runs, not which model is better."
        if small and "orderings" not in tables  # which says so for each
        else ""
    )
    return (
        f'<p class="verdict">The potential learned from {sizes["train"]} snapshots and was judged '
        f"on DFT relaxation steps of molecules it never saw. {escape('. '.join(lines))}."
        f"{claim}</p>"
    )


def _cells_of(folder: Path, tables: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield table and record of each cell that was computed."""
    for name in tables:
        cells = read_json(folder / "tables" / f"{name}.json")["cells"]
        yield from ((name, cell) for cell in cells)


def _data(folder: Path) -> str:
    statistics = read_json(folder / "store" / "statistics.json")
    return (
        f"<h2>Data</h2>{_statistics(statistics)}"
        f"<h2>Levels of theory</h2>{_audit(read_json(folder / 'store' / 'audit.json'))}"
    )


def _provenance(folder: Path, tables: Sequence[str], parts: Sequence[str]) -> str:
    """Return the records of what the page shows and of all that went into it, nothing else's."""

    def find(name: str) -> Path:
        path = Path(name)
        # The records name files from where the run was made, which may be elsewhere.
        inside = folder / name.rpartition(f"{folder.name}/")[2]
        return (path if path.exists() else inside).resolve()

    roots = [find(cell["source"]) for _, cell in _cells_of(folder, tables)]
    roots += [(folder / name).resolve() for part in parts for name in _SHOWN[part]]
    items = []
    for path, record in sorted(ancestry(roots, find).items()):
        inside = path.is_relative_to(folder.resolve())
        artifact = str(path.relative_to(folder.resolve()) if inside else path)
        inputs = "".join(
            f"<li><code>{escape(name)}</code> <code>{digest}</code></li>"
            for name, digest in record["inputs"].items()
        )
        settings = escape(json.dumps(record["settings"]))
        items.append(
            f"<details><summary><code>{escape(artifact)}</code> {escape(record['stage'])}, "
            f"settings <code>{record['settings_hash']}</code>, content "
            f"<code>{record['output_hash']}</code></summary><p>Settings <code>{settings}</code>"
            f"</p><ul>{inputs}</ul></details>"
        )
    return "".join(items)


def _cells(folder: Path, tables: Sequence[str]) -> str:
    rows = [
        f"<tr><td>{name}: {escape(cell['row'])}, {cell['column']}</td>"
        f"<td>{escape(str(cell['stage']))}</td><td><code>{escape(cell['source'])}</code>"
        f"</td><td><code>{cell['source_hash']}</code></td>"
        f"<td><code>{cell['settings_hash']}</code></td></tr>"
        for name, cell in _cells_of(folder, tables)
    ]
    return (
        "<details><summary>Every table cell, and the artifact it was read from</summary><div "
        'class="scroll"><table><thead><tr><th>Cell</th><th>Stage</th><th>Artifact</th><th>Content'
        f"</th><th>Settings</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _short(value: str) -> str:
    """Return a number of six digits; a text as it is."""
    return f"{float(value):.6g}" if "." in value else value


def _molecules(folder: Path) -> str:
    """Return table 3's molecules, of each potential, the worst first."""
    sources = {
        cell["row"]: folder / "judged" / cell["source"].rsplit("/", 1)[-1]
        for cell in read_json(folder / "tables" / "table3.json")["cells"]
    }
    parts = []
    for row, path in sources.items():
        with path.open(newline="", encoding="utf-8") as handle:
            header, *rows = list(csv.reader(handle))
        place = header.index("residual")
        rows.sort(key=lambda cells: -float(cells[place] or "inf"))
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_short(value))}</td>" for value in cells) + "</tr>"
            for cells in rows[:_MOST_MOLECULES]
        )
        head = "".join(f"<th>{escape(_MOLECULE.get(name, name))}</th>" for name in header)
        shown = f"{min(len(rows), _MOST_MOLECULES)} of {counted(len(rows), 'molecule')}"
        parts.append(
            f"<details><summary>{escape(row)}, {shown}, the worst first; all are in "
            f'<code>{escape(str(path))}</code></summary><div class="scroll"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
        )
    return "".join(parts)


def report(
    folder: Path, tables: Sequence[str], figures: Sequence[str], lacks: Sequence[str] = ()
) -> str:
    """Return the HTML page of a run's folder with the tables and figures named.

    A run that `lacks` a `store` of logs or a potential, `pretrain`, shows nothing of them.
    """
    parts = [part for part in _SHOWN if part not in lacks]
    shown_tables = []
    for name in tables:
        path = folder / "tables" / f"{name}.csv"
        title = read_json(path.with_suffix(".json"))["title"]
        shown_tables += [_table(path, _heading(name, title)), _notes(path.with_suffix(".md"))]
        if name == "table3":
            shown_tables.append(_molecules(folder))
    shown_figures = [
        _figure(folder / "figures" / f"{name}.png", find("figure", name).CAPTION)
        for name in figures
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>force2geo: {escape(folder.name)}</title>"
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body><main>'
        f"<h1>force2geo: run “{escape(folder.name)}”</h1>"
        f"{_verdict(folder, tables) if 'pretrain' in parts else ''}"
        f"{_data(folder) if 'store' in parts else ''}<h2>Tables</h2>"
        "<p>Grey columns are the numbers published by Fu, Lin et al. for their data; they are not "
        f"results of this run.</p>{''.join(shown_tables)}<h2>Figures</h2>{''.join(shown_figures)}"
        f"<h2>Provenance</h2><p>Code: <code>{escape(code_version())}</code></p>"
        f"{_cells(folder, tables)}{_provenance(folder, tables, parts)}</main></body></html>\n"
    )
