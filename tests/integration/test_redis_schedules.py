"""Random troubles of Redis and of two streamers: every loss is reported, and a seed plays the same again."""

import pytest

from tests.long.redis_schedules import play_one
from tests.support.seeds import play_all

SEEDS = range(8)  # ``nox -s faults`` plays ten thousand others
REPLAYED = 8


@pytest.mark.timeout(900)
def test_random_troubles_of_redis_and_streamers_end_in_streaming_with_every_loss_reported() -> None:
    """Numbers without holes, nothing twice, one writer, no living streamer deposed, every loss reported to readers."""
    outcomes, failures = play_all(play_one, SEEDS)
    assert failures == []
    assert len(outcomes) == len(SEEDS)
    assert sum(outcome.counts["outages"] for outcome in outcomes) > len(SEEDS) / 2, "the schedules do hurt"


def test_two_plays_of_one_seed_send_redis_the_same_bytes_at_the_same_times() -> None:
    """A failing seed can be played again: every byte that Redis receives is the same."""
    (first, failure), (again, _) = play_one(REPLAYED), play_one(REPLAYED)
    assert not failure
    assert first.digest == again.digest
    assert first.story == again.story
    assert first.counts["sent again"] > 0
    assert first.runs > 1
