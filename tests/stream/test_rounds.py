"""Who begins together, who waits, and that nobody waits for ever."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.rounds import Rounds

FOREVER = 3600.0


async def test_who_comes_while_nobody_is_at_work_begins_at_once() -> None:
    rounds = Rounds(FOREVER)
    await asyncio.wait_for(asyncio.gather(rounds.begin("a"), rounds.begin("b")), 1)


async def test_who_comes_later_begins_when_all_have_ended() -> None:
    rounds = Rounds(FOREVER)
    await asyncio.gather(rounds.begin("a"), rounds.begin("b"))
    await asyncio.sleep(0)
    late = [asyncio.create_task(rounds.begin(name)) for name in ("c", "d")]
    await asyncio.sleep(0)
    rounds.end("a")
    await asyncio.sleep(0)
    assert not any(task.done() for task in late)
    rounds.end("b")
    await asyncio.wait_for(asyncio.gather(*late), 1)


async def test_nobody_waits_longer_than_allowed_for_others_to_end() -> None:
    rounds = Rounds(0.01)
    await rounds.begin("a")
    await asyncio.sleep(0)
    await asyncio.wait_for(rounds.begin("b"), 1)


async def test_those_of_a_round_meet_in_the_same_turn() -> None:
    rounds, met = Rounds(FOREVER), list[str]()

    async def come(name: str, pause: int) -> None:
        await rounds.begin(name)
        for _ in range(pause):
            await asyncio.sleep(0)
        await rounds.meet(name)
        met.append(name)
        asyncio.get_running_loop().call_soon(met.append, "next turn")

    await asyncio.wait_for(asyncio.gather(come("a", 0), come("b", 5), come("c", 2)), 1)
    assert sorted(met[:3]) == ["a", "b", "c"]


async def test_who_has_ended_is_not_waited_for_at_the_meeting() -> None:
    rounds = Rounds(FOREVER)
    await asyncio.gather(rounds.begin("a"), rounds.begin("b"))
    meeting = asyncio.create_task(rounds.meet("a"))
    await asyncio.sleep(0)
    assert not meeting.done()
    rounds.end("b")
    await asyncio.wait_for(meeting, 1)


async def test_nobody_waits_longer_than_allowed_for_a_meeting() -> None:
    rounds = Rounds(0.01)
    await asyncio.gather(rounds.begin("a"), rounds.begin("b"))
    await asyncio.wait_for(rounds.meet("a"), 1)


async def test_to_end_what_has_not_begun_is_allowed() -> None:
    rounds = Rounds(FOREVER)
    rounds.end("a")
    await asyncio.wait_for(rounds.begin("a"), 1)


async def test_a_round_that_ends_in_the_turn_in_which_it_began_leaves_no_gate_shut() -> None:
    rounds = Rounds(FOREVER)
    await rounds.begin("a")
    rounds.end("a")
    await asyncio.sleep(0)
    await asyncio.wait_for(rounds.begin("b"), 1)


@pytest.mark.parametrize("stage", ["begin", "meet"])
async def test_who_gives_up_waiting_holds_nobody_up(stage: str) -> None:
    rounds = Rounds(FOREVER)
    await asyncio.gather(rounds.begin("a"), rounds.begin("b"))
    await asyncio.sleep(0)
    waits = asyncio.create_task(rounds.begin("c") if stage == "begin" else rounds.meet("b"))
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    rounds.end("b")
    await asyncio.wait_for(rounds.meet("a"), 1)
    rounds.end("a")
    await asyncio.wait_for(rounds.begin("d"), 1)


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_whatever_each_takes_all_come_to_their_end(paces: list[list[int]]) -> None:
    async def work(rounds: Rounds, pauses: list[int]) -> None:
        me = object()
        for _ in range(4):
            for pause, step in zip(pauses, (rounds.begin, rounds.meet, None), strict=True):
                for _ in range(pause):
                    await asyncio.sleep(0)
                if step is not None:
                    await step(me)
            rounds.end(me)

    async def all_of_them() -> None:
        rounds = Rounds(FOREVER)
        await asyncio.gather(*(work(rounds, pauses) for pauses in paces))

    asyncio.run(asyncio.wait_for(all_of_them(), 10))


async def test_who_has_not_begun_with_others_waits_for_nobody() -> None:
    rounds = Rounds(FOREVER)
    await rounds.begin("a")
    await asyncio.wait_for(rounds.meet("b"), 1)
