"""The bench of the core measures work that is done."""

from bench.core import PARTS, SIZES, Core, measure
from bench.decode import records_of
from bench.load import simulated


def test_a_round_takes_every_event_into_its_customer() -> None:
    core, records = Core(), records_of(simulated(400, 50))
    first, second = core.round(records[:200]), core.round(records[200:])
    for scored, taken in ((first, records[:200]), (second, records[200:])):
        names = {name for made in scored for name in made.customers}
        assert names == {record.key.decode() for record in taken}
        assert all(profile.blob for made in scored for profile in made.profiles)
    assert sum(made.duplicates for made in [*first, *second]) == 0
    assert sum(made.duplicates for made in core.round(records[-8:])) == 8


def test_a_model_is_in_force_once_it_is_learned() -> None:
    core, records = Core(), records_of(simulated(5_000, 2_000))
    scored = core.round(records)
    assert not any(made.rows["segment"].any() for made in scored)
    core.learn(scored)
    assert all(made.rows["segment"].all() for made in core.round(records))


async def test_every_part_of_every_size_has_its_cost() -> None:
    result = await measure(4)
    assert list(result["us_per_round"]) == list(SIZES)
    for spent in result["us_per_round"].values():
        assert set(spent) == {*PARTS, "all"}
        assert all(us > 0 for us in spent.values())
