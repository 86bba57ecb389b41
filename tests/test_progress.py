"""How fast work goes, by a clock that the test turns."""

from force2geo import progress


def test_the_rate_is_of_what_was_done_since_the_beginning(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def said(seconds, count):
        now[0] += seconds
        work.update(count)
        return capsys.readouterr().err

    with progress.Progress(200, "molecule", done=40) as work:
        assert said(30.0, 20) == ""
        # 60 in two minutes; the 40 of an earlier call were not done in them.
        assert said(90.0, 40) == "100 of 200 molecules, 30.0 a minute\n"
        assert said(59.0, 1) == ""
        # 63 in 3.15 minutes.
        assert said(10.0, 2) == "103 of 200 molecules, 20.0 a minute\n"
        now[0] += 60.0
        work.alive(lambda: ", 3 move")
    assert capsys.readouterr().err == "103 of 200 molecules, 15.2 a minute, 3 move\n"


def test_work_without_an_end_in_sight_is_told_without_one(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress(None, "molecule") as work:
        now[0] += 120.0
        work.update(40)
    assert capsys.readouterr().err == "40 molecules, 20.0 a minute\n"
