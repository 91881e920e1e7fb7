"""When measurements are due, and of which candidates."""

from advisor_samples import candidate

from advisor.network.to_workload import to_workload
from advisor.search.telling import Known, due, most_telling
from advisor.space.search_space import deployed_network
from specs import catalog

HOST = catalog.target("host:onnxruntime")


def test_measurements_come_early_and_some_are_kept_for_the_end():
    taken, rounds = 0, []
    for step in range(101):
        count = due(24, taken, step / 100)
        taken += count
        rounds += [count] if count else []
    assert taken == 18
    assert min(rounds[:-1]) >= 4  # each re-scores everything
    assert due(24, 0, 0.05) == 4
    assert due(24, 0, 0.0) == due(0, 0, 1.0) == due(24, 18, 1.0) == 0


def known(width, *, on_front=False, measured=False, wide=0.5):
    workload = to_workload(deployed_network(candidate(width, "fp32"), 10), "fp32")
    return Known(str(width), workload, workload.macs / 1e6, wide, on_front, measured)


def test_the_front_comes_first_then_the_uncertain_and_nothing_twice():
    pool = [known(8), known(16, on_front=True), known(24, on_front=True, measured=True), known(32, wide=1.5), known(40)]
    chosen = most_telling(pool, 3, HOST)
    assert chosen[0] == "16"
    assert chosen[1] == "32"
    assert len(set(chosen)) == 3
    assert "24" not in chosen
    assert set(most_telling(pool, 99, HOST)) == {"8", "16", "32", "40"}
    assert most_telling([], 3, HOST) == []
