"""What a potential learns from, by skeleton."""

import json

import pandas as pd

from force2geo.cli import main


def test_skeletons_are_those_of_the_split_that_is_learnt_from(tmp_path):
    keys = {"1": "LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "2": "QNAYBMKLOCPYGJ-REOHCLBHSA-N",
            "3": "QNAYBMKLOCPYGJ-UWTATZPHSA-N", "4": "XLYOFNOQVPJJNP-UHFFFAOYSA-N",
            "5": "", "6": "VNWKTOKETHGBQD-UHFFFAOYSA-N"}  # fmt: skip
    pd.DataFrame(keys.items(), columns=["cid", "inchikey"]).to_parquet(tmp_path / "i.parquet")
    split = {"train": ["1", "2", "3", "5"], "val": ["4"], "test": ["6"]}
    (tmp_path / "s.json").write_text(json.dumps({"pretrain": split, "random": {}}))
    (tmp_path / "settings.json").write_text(json.dumps({"split": "pretrain"}))
    assert main([
        "seen", "--settings", str(tmp_path / "settings.json"), "--selection",
        str(tmp_path / "s.json"), "--index", str(tmp_path / "i.parquet"), "--out",
        str(tmp_path / "seen.json"),
    ]) == 0  # fmt: skip
    found = json.loads((tmp_path / "seen.json").read_text())["skeletons"]
    # Enantiomers are one skeleton; what is validated on chose the weights.
    assert found == ["LFQSCWFLJHTTHZ", "QNAYBMKLOCPYGJ", "XLYOFNOQVPJJNP"]
