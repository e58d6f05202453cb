"""`make bench` measures every store, prints a report and draws a picture."""

import re
import time

import bench
import pytest


def test_a_short_run_measures_every_store_and_draws_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "ROUND_S", 0.005)
    picture = tmp_path / "bench.png"
    bench.main(["--users", "1,30", "--rounds", "2", "--picture", str(picture)])
    lines = capsys.readouterr().out.splitlines()
    calls = [line.split("|")[1:-1] for line in lines if re.match(r"\| (find|save)", line)]
    assert [(call.strip(), users.strip()) for call, users, *_ in calls] == [
        (call, users) for call in bench.ARGUMENTS for users in ("1", "30")
    ]
    assert all(re.fullmatch(r" [\d.]+ (µs|ms) ", cell) for _, _, *cells in calls for cell in cells)
    assert {len(cells) for cells in calls} == {2 + 6}
    assert len([line for line in lines if line.endswith(("| ✔ |", "| ✖ |"))]) == 9
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("share", "met"), [(1.6, False), (1.5, True)])
def test_a_target_is_met_or_missed(share, met):
    stores = (bench.FLOOR, bench.SQLITE, bench.MEMORY_FLOOR, bench.MEMORY, bench.LIST)
    seconds = {name: [1e-6, 1e-6, 3e-6] for name in (*stores, bench.FILE_STORE)}
    measured = {(call, 1): dict(seconds) for call in bench.ARGUMENTS}
    measured[bench.FIND, 1][bench.SQLITE] = [share * second for second in seconds[bench.FLOOR]]
    target, value, is_met = next(iter(bench.targets(measured, memory=1, importing=0.01)))
    assert (value, is_met) == (f"{share:.2f} times", met), target


def test_a_block_measures_only_the_calls(monkeypatch):
    monkeypatch.setattr(bench, "ROUND_S", 0.01)

    class Sleeps:
        def find_token_by_id(self, id):
            time.sleep(0.002)

    block = bench.Block(Sleeps(), bench.FIND_BY_ID, users=3)
    assert 1 <= block.calls <= 5
    assert 0.002 <= block.seconds() < 0.05
