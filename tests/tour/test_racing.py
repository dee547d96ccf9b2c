"""Times beside those of other libraries."""

import re
import time

from striderule import tour


def test_every_way_is_timed_and_told(capsys):
    def slow(_):
        return time.sleep(0.004)

    times = tour.race(lambda: time.sleep(0.001), json=slow, os_path=slow, no_such_library=slow)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["striderule", "json", "os.path", "no.such.library"]
    assert times["no.such.library"] is None
    assert 0.001 <= times["striderule"] < times["json"]
    assert re.fullmatch(r"striderule\s+\d+\.\d\d ms", lines[0])
    assert re.fullmatch(r"json\s+\d+\.\d\d ms, \d+\.\d times as long", lines[1])
    assert lines[3].endswith("not installed here")
